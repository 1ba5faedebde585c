//! TLS: whom we believe, and how we speak.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// Why the way out could not be set up.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetupError {
    /// The file of extra certificate authorities cannot be read or holds none.
    #[error("{path}: cannot read certificates: {reason}", path = .path.display())]
    CaFile {
        /// The configured file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The cryptography library refuses its own defaults; a broken build.
    #[error("TLS cannot be set up: {reason}")]
    Tls {
        /// What it said.
        reason: String,
    },
}

/// Whom we believe: the system's roots, a file of extra ones, or, where the system has none, the Mozilla list built
/// in.
pub(crate) struct Roots {
    store: RootCertStore,
    /// All of them as PEM, where the system's own list is not what counts.
    pub(crate) pem: Option<Box<str>>,
}

/// The variables that put another list in the place of the system's.
const LISTS: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

impl Roots {
    /// Reads the lists, and `ca_file` on top of them.
    pub(crate) fn load(ca_file: Option<&Path>) -> Result<Self, SetupError> {
        let (mut store, mut certificates) = system_roots();
        if let Some(path) = ca_file {
            let more = read_file(path)?;
            add(&mut store, &more).map_err(|reason| SetupError::CaFile { path: path.to_owned(), reason })?;
            certificates.extend(more);
        }
        let is_ours = ca_file.is_some() || LISTS.iter().any(|list| std::env::var_os(list).is_some());
        Ok(Self { store, pem: is_ours.then(|| certificates.iter().map(pem).collect::<String>().into()) })
    }
}

/// A client configuration that believes these roots.
///
/// The provider is named here and nowhere else: a library must not choose for the whole process.
pub(crate) fn client_config(roots: &Roots) -> Result<ClientConfig, SetupError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SetupError::Tls { reason: error.to_string() })?
        .with_root_certificates(roots.store.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The same configuration for hosts whose certificates are not checked, because `GOINSECURE` says so (D11).
pub(crate) fn unchecked(config: &ClientConfig) -> ClientConfig {
    let mut config = config.clone();
    let provider = Arc::clone(config.crypto_provider());
    config.dangerous().set_certificate_verifier(Arc::new(AnyCertificate(provider)));
    config
}

/// Takes every certificate; only that the other side holds its key is still checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// `SSL_CERT_FILE` and `SSL_CERT_DIR` where set, else the platform's store, else the built-in list, which has no
/// certificates to show.
fn system_roots() -> (RootCertStore, Vec<CertificateDer<'static>>) {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate store could not be read");
    }
    roots.add_parsable_certificates(found.certs.iter().cloned());
    if roots.is_empty() {
        tracing::warn!("no system certificates found: using the built-in Mozilla list");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    (roots, found.certs)
}

fn read_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let failed = |reason: String| SetupError::CaFile { path: path.to_owned(), reason };
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<_> = certificates.map_err(|error| failed(error.to_string()))?;
    if certificates.is_empty() { Err(failed("no certificate in it".to_owned())) } else { Ok(certificates) }
}

fn add(roots: &mut RootCertStore, certificates: &[CertificateDer<'static>]) -> Result<(), String> {
    let mut each = certificates.iter().cloned();
    each.try_for_each(|certificate| roots.add(certificate)).map_err(|error| error.to_string())
}

/// One certificate in the form that every program reads (RFC 7468: lines of 64 characters).
fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.extend([line, "\n"]);
        rest = after;
    }
    pem + "-----END CERTIFICATE-----\n"
}
