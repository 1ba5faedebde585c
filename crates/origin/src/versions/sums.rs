//! Sums over tags: what a version list depends on (section 10).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use modkeep_module::unicode;
use sha2::{Digest, Sha256};

use super::names;

/// Where tags live.
pub(super) const TAGS: &str = "refs/tags/";

/// The tags of a repository whose short names begin with `prefix`: short name and id, ascending by bytes.
pub(super) fn tags_below<'a>(
    tags: &'a BTreeMap<Arc<str>, Arc<str>>,
    prefix: &str,
) -> impl Iterator<Item = (&'a str, &'a Arc<str>)> {
    let from = format!("{TAGS}{prefix}");
    let range = (Bound::Included(from.as_str()), Bound::Unbounded);
    let below: Vec<_> = tags.range::<str, _>(range).take_while(|(name, _)| name.starts_with(&from)).collect();
    below.into_iter().filter_map(|(name, id)| Some((name.strip_prefix(TAGS)?, id)))
}

/// The `TagSum` over the tags with this prefix.
pub(super) fn tag_sum(tags: &BTreeMap<Arc<str>, Arc<str>>, prefix: &str) -> String {
    let dir = prefix.rfind('/').map_or("", |slash| prefix.split_at(slash + 1).0);
    let mut sum = Sha256::new();
    for (name, id) in tags_below(tags, prefix) {
        if names::is_summed(name.strip_prefix(dir).unwrap_or(name)) {
            sum.update(format!("{} {id}\n", unicode::quoted(name)));
        }
    }
    format!("t1:{}", STANDARD.encode(sum.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refs(names: &[&str]) -> BTreeMap<Arc<str>, Arc<str>> {
        names.iter().map(|name| (format!("{TAGS}{name}").into(), "0".repeat(40).into())).collect()
    }

    #[test]
    fn the_sum_of_no_tags_is_the_known_one() {
        const EMPTY: &str = "t1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let refs = refs(&["release", "v1", "v0.0.0-20180101000000-abcdefabcdef", "sub/v1.0.0", "other/x"]);
        assert_eq!(tag_sum(&refs, ""), EMPTY);
        assert_eq!(tag_sum(&refs, "other/"), EMPTY);
        assert_ne!(tag_sum(&refs, "sub/"), EMPTY);
        assert_eq!(tag_sum(&refs, "sub/v2."), EMPTY);
    }

    #[test]
    fn metadata_counts_and_majors_are_told_apart() {
        let all = refs(&["v1.0.0", "v2.0.0", "v2.0.0+meta"]);
        assert_eq!(tag_sum(&all, "v2."), tag_sum(&refs(&["v2.0.0", "v2.0.0+meta"]), ""));
        assert_ne!(tag_sum(&all, "v2."), tag_sum(&refs(&["v2.0.0"]), ""));
    }
}
