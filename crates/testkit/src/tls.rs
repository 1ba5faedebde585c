//! Certificates for loopback: a good one, and one for each way of being wrong.

use std::net::TcpStream;
use std::sync::Arc;
use std::{fmt, io};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What is wrong with a certificate, if anything is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flaw {
    /// Signed by the authority, for `localhost` and 127.0.0.1, valid now.
    None,
    /// It was valid in 2001.
    Expired,
    /// It names another host.
    WrongName,
    /// The authority did not sign it; it signed itself.
    SelfSigned,
}

/// A certificate authority that nobody but the test trusts.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// A new authority with a new key.
    ///
    /// # Panics
    /// When the key cannot be made.
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key from the system's randomness");
        let mut params = CertificateParams::new(Vec::new()).expect("no name is a fine name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("our own parameters");
        Self { pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    /// The root certificate as PEM, for `SSL_CERT_FILE` or a configured root.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A server's certificate and key with this flaw.
    ///
    /// # Panics
    /// When the key cannot be made.
    pub fn server(&self, flaw: Flaw) -> ServerTls {
        let names = match flaw {
            Flaw::WrongName => vec!["elsewhere.example".to_owned()],
            _ => vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        };
        self.signed(names, flaw)
    }

    /// A good certificate for these names.
    ///
    /// # Panics
    /// When the key cannot be made, or one is no name.
    pub fn server_for(&self, names: &[&str]) -> ServerTls {
        self.signed(names.iter().map(|&name| name.to_owned()).collect(), Flaw::None)
    }

    fn signed(&self, names: Vec<String>, flaw: Flaw) -> ServerTls {
        let mut params = CertificateParams::new(names).expect("good names");
        if flaw == Flaw::Expired {
            (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2001, 12, 31));
        }
        let key = KeyPair::generate().expect("a key from the system's randomness");
        let certificate = match flaw {
            Flaw::SelfSigned => params.self_signed(&key),
            _ => params.signed_by(&key, &self.issuer),
        }
        .expect("our own parameters");
        let pem = (certificate.pem(), key.serialize_pem());
        let private = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private.into())
            .expect("the key belongs to the certificate");
        ServerTls { config: Arc::new(config), pem }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// The server's side of TLS.
pub struct ServerTls {
    config: Arc<ServerConfig>,
    pem: (String, String),
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Certificate and key as PEM, for a server that reads them from files.
    pub fn pem(&self) -> (&str, &str) {
        (&self.pem.0, &self.pem.1)
    }

    pub(crate) fn accept(&self, stream: TcpStream) -> io::Result<StreamOwned<ServerConnection, TcpStream>> {
        let connection = ServerConnection::new(Arc::clone(&self.config)).map_err(io::Error::other)?;
        Ok(StreamOwned::new(connection, stream))
    }
}
