//! Which addresses are nobody's business to reach through us (E01).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Says why an address may not be contacted, or `None` when it is an ordinary public one.
///
/// An IPv6 address that carries an IPv4 address inside (mapped, compatible, translated, NAT64, 6to4,
/// Teredo, ISATAP) is judged by what it carries as well: each of these forms is a way to say
/// `127.0.0.1` that a plain list of IPv6 ranges misses.
///
/// Spec: `hostile-inputs.md` E01.
pub fn forbidden(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => forbidden_v4(v4),
        IpAddr::V6(v6) => forbidden_v6(v6),
    }
}

/// The special IPv4 blocks of the IANA registry: network, prefix length, name.
const V4: [(Ipv4Addr, u32, &str); 15] = [
    (Ipv4Addr::UNSPECIFIED, 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "shared by carriers"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignments"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relays"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// The special blocks inside `2000::/3`, the only space from which public addresses are given.
const V6: [(Ipv6Addr, u32, &str); 4] = [
    (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48, "benchmarking"),
    (Ipv6Addr::new(0x2001, 0x10, 0, 0, 0, 0, 0, 0), 28, "not routable"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "documentation"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "documentation"),
];

fn forbidden_v4(address: Ipv4Addr) -> Option<&'static str> {
    let bits = u32::from(address);
    V4.iter().find(|(net, prefix, _)| (bits ^ u32::from(*net)) >> (32 - prefix) == 0).map(|row| row.2)
}

fn forbidden_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        // Mapped: the system dials the IPv4 address inside, so that one alone decides. NAT64's well-known
        // prefix leads to the IPv4 internet as well; its local-use sibling does not.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            forbidden_v4(v4(high, low))
        }
        // 6to4.
        [0x2002, high, low, ..] => forbidden_v4(v4(high, low)).or_else(|| isatap(segments)),
        // Teredo: the relay's address, and the client's with every bit turned.
        [0x2001, 0, high, low, _, _, client_high, client_low] => {
            forbidden_v4(v4(high, low)).or_else(|| forbidden_v4(v4(!client_high, !client_low)))
        }
        [0x2000..=0x3fff, ..] => special_v6(address).or_else(|| isatap(segments)),
        [0xfc00..=0xfdff, ..] => Some("private"),
        [0xfe80..=0xfebf, ..] => Some("link-local"),
        [0xfec0..=0xfeff, ..] => Some("site-local"),
        [0xff00..=0xffff, ..] => Some("multicast"),
        // Compatible (::a.b.c.d), translated (::ffff:0:a.b.c.d), discard-only, and all that is not given out.
        _ => Some("not public"),
    }
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let bits = u128::from(address);
    V6.iter().find(|(net, prefix, _)| (bits ^ u128::from(*net)) >> (128 - prefix) == 0).map(|row| row.2)
}

/// ISATAP: an interface id of `[02]00:5efe:a.b.c.d` under any prefix.
fn isatap(segments: [u16; 8]) -> Option<&'static str> {
    match segments {
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => forbidden_v4(v4(high, low)),
        _ => None,
    }
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD_V4: [&str; 22] = [
        "0.0.0.0",
        "0.255.1.2",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
    ];
    const GOOD_V4: [&str; 10] = [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "198.20.0.0",
        "223.255.255.255",
    ];

    #[test]
    fn hostile_e01_every_special_ipv4_block() {
        for text in BAD_V4 {
            assert!(forbidden(text.parse().unwrap()).is_some(), "{text}");
        }
        for text in GOOD_V4 {
            assert_eq!(forbidden(text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn hostile_e01_special_ipv6_blocks() {
        for text in [
            "::",
            "::1",
            "::2",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "fc00::1",
            "fdff::1",
            "ff02::1",
            "2001:db8::1",
            "3fff::1",
            "3fff:fff::1",
            "2001:2::1",
            "2001:10::1",
            "100::1",
            "64:ff9b:1::8.8.8.8",
            "5f00::1",
            "4000::1",
            "1fff::1",
        ] {
            assert!(forbidden(text.parse().unwrap()).is_some(), "{text}");
        }
        for text in ["2606:4700::1111", "2001:4860:4860::8888", "2a00:1450::1", "3ffe::1", "2001:db7::1"] {
            assert_eq!(forbidden(text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn hostile_e01_ipv6_forms_that_embed_ipv4() {
        for bad in BAD_V4 {
            let v4: Ipv4Addr = bad.parse().unwrap();
            let [one, two, three, four] = v4.octets();
            let (a, b) = (u16::from_be_bytes([one, two]), u16::from_be_bytes([three, four]));
            for form in [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, a, b),               // mapped
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, a, b),                    // compatible
                Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, a, b),               // translated
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b),            // NAT64
                Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, a, b),            // NAT64, local use
                Ipv6Addr::new(0x2002, a, b, 0, 0, 0, 0, 1),               // 6to4
                Ipv6Addr::new(0x2001, 0, a, b, 0, 0, !0x0808, !0x0808),   // Teredo relay
                Ipv6Addr::new(0x2001, 0, 0x0808, 0x0808, 0, 0, !a, !b),   // Teredo client
                Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0, 0x5efe, a, b),     // ISATAP
                Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0x200, 0x5efe, a, b), // ISATAP, unique
            ] {
                assert!(forbidden(IpAddr::V6(form)).is_some(), "{form} carries {bad}");
            }
        }
        for text in ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "2606:4700::5efe:808:808"] {
            assert_eq!(forbidden(text.parse().unwrap()), None, "{text}");
        }
    }
}
