//! A request's header fields, read once: what we heed of them, and whether there are too many.

use http::header::{self, HeaderMap};
use http::{HeaderName, HeaderValue, Method};

use crate::gzip::welcomes_gzip;

/// All header fields together, names and values (hostile-inputs part 1).
pub(crate) const HEADERS_MAX_BYTES: usize = 16 << 10;
/// How many fields there may be.
pub(crate) const HEADERS_MAX: usize = 64;

/// The older spelling of `/cached-only` (P-90).
static DISABLE_MODULE_FETCH: HeaderName = HeaderName::from_static("disable-module-fetch");

/// What a request's fields ask for. No other field is ever looked at: not those that claim another method, address,
/// host or user (A14 to A16).
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each thing that a field asks for; they are independent"
)]
pub(crate) struct Asked<'a> {
    pub(crate) headers: &'a HeaderMap,
    /// `HEAD`: the same answer without its body.
    pub(crate) head: bool,
    pub(crate) gzip: bool,
    /// `Disable-Module-Fetch: true`.
    pub(crate) no_fetch: bool,
    pub(crate) range: Option<&'a HeaderValue>,
    /// Whether any of the fields that can turn an answer into 304 is there.
    pub(crate) conditional: bool,
    /// `Accept` wants JSON.
    pub(crate) json: bool,
    /// `Accept` wants HTML: a browser.
    pub(crate) html: bool,
    /// Whether the fields break their limits: 431.
    pub(crate) too_large: bool,
    /// `Transfer-Encoding` is there: hyper hides a `Content-Length` beside it, so that alone is refused (A12).
    pub(crate) chunked: bool,
}

impl<'a> Asked<'a> {
    /// Reads the fields in one pass; the go command sends three, `wrk` one.
    pub(crate) fn read(method: &Method, headers: &'a HeaderMap) -> Self {
        let mut asked = Self {
            headers,
            head: method == Method::HEAD,
            gzip: false,
            no_fetch: false,
            range: None,
            conditional: false,
            json: false,
            html: false,
            too_large: headers.len() > HEADERS_MAX,
            chunked: false,
        };
        let mut bytes = 0;
        for (name, value) in headers {
            bytes += name.as_str().len() + value.len();
            asked.heed(name, value);
        }
        asked.too_large |= bytes > HEADERS_MAX_BYTES;
        asked
    }

    fn heed(&mut self, name: &HeaderName, value: &'a HeaderValue) {
        if *name == header::ACCEPT_ENCODING {
            self.gzip |= welcomes_gzip(value.as_bytes());
        } else if *name == header::RANGE {
            self.range = Some(value);
        } else if *name == header::IF_NONE_MATCH || *name == header::IF_MODIFIED_SINCE {
            self.conditional = true;
        } else if *name == header::ACCEPT {
            let wanted = value.as_bytes();
            self.json |= holds(wanted, b"application/json") || holds(wanted, b"application/problem+json");
            self.html |= holds(wanted, b"text/html");
        } else if *name == header::TRANSFER_ENCODING {
            self.chunked = true;
        } else if *name == DISABLE_MODULE_FETCH {
            self.no_fetch |= is_true(value.as_bytes());
        }
    }
}

fn holds(field: &[u8], media: &[u8]) -> bool {
    field.windows(media.len()).any(|window| window.eq_ignore_ascii_case(media))
}

/// The go command's reading of a boolean (P-90).
fn is_true(value: &[u8]) -> bool {
    matches!(value.trim_ascii(), b"1" | b"t" | b"T" | b"TRUE" | b"true" | b"True")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn the_go_command_asks_plainly() {
        let headers = fields(&[
            ("host", "mirror.example"),
            ("user-agent", "GoCommand/1 (+https://go.dev/cmd/go)"),
            ("accept-encoding", "gzip"),
        ]);
        let asked = Asked::read(&Method::GET, &headers);
        assert!(asked.gzip && !asked.head && !asked.no_fetch && !asked.conditional && !asked.too_large);
        assert!(asked.range.is_none());
    }

    #[test]
    fn disable_module_fetch_is_a_boolean_as_go_reads_it() {
        for (value, is) in [
            ("true", true),
            ("1", true),
            ("t", true),
            ("T", true),
            ("TRUE", true),
            ("True", true),
            ("tRUE", false),
            ("yes", false),
            ("0", false),
            ("false", false),
            ("", false),
        ] {
            let headers = fields(&[("disable-module-fetch", value)]);
            assert_eq!(Asked::read(&Method::GET, &headers).no_fetch, is, "{value}");
        }
    }

    #[test]
    fn fields_have_limits_in_number_and_size() {
        let mut headers = HeaderMap::new();
        for at in 0..=HEADERS_MAX {
            assert!(!Asked::read(&Method::GET, &headers).too_large);
            headers
                .append(HeaderName::from_bytes(format!("x-{at}").as_bytes()).unwrap(), "1".parse().unwrap());
        }
        assert!(Asked::read(&Method::GET, &headers).too_large);
        let large = fields(&[("x", &"a".repeat(HEADERS_MAX_BYTES))]);
        assert!(Asked::read(&Method::GET, &large).too_large);
    }
}
