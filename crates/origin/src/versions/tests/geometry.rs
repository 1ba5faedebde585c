//! The tables of sections 3, 4 and 6 that need no repository.

use modkeep_module::ModulePath;

use super::place;
use crate::error::Error;
use crate::place::RepositoryPlace;
use crate::versions::Geometry;
use crate::versions::geometry::fits;

fn geometry(path: &str, root: &str, subdirectory: &str) -> Result<Geometry, Error> {
    let place = RepositoryPlace { subdirectory: subdirectory.to_owned(), ..place(root) };
    Geometry::of(&ModulePath::parse(path).unwrap(), &place)
}

#[test]
fn tags_and_directories_of_a_path_are_those_of_the_table() {
    for (path, root, subdirectory, code_dir, tag, major_dir, pseudo_prefix) in [
        ("h.io/a/b", "h.io/a/b", "", "", "v1.2.3", None, ""),
        ("h.io/a/b/v2", "h.io/a/b", "", "", "v1.2.3", Some("v2"), "v2."),
        ("h.io/a/b/sub/v3", "h.io/a/b", "", "sub", "sub/v1.2.3", Some("sub/v3"), "sub/v3."),
        ("h.io/m/v2", "h.io/m/v2", "", "", "v1.2.3", None, "v2."),
        ("gopkg.in/y.v2", "gopkg.in/y.v2", "", "", "v1.2.3", None, "v2."),
        ("gopkg.in/y.v2-unstable", "gopkg.in/y.v2-unstable", "", "", "v1.2.3", None, "v2-unstable."),
        ("h.io/m", "h.io/m", "foo/sub", "foo/sub", "foo/sub/v1.2.3", None, "foo/sub/"),
        ("h.io/m/v2", "h.io/m/v2", "sub", "sub", "sub/v1.2.3", None, "sub/v2."),
        ("h.io/m/x", "h.io/m", "sub", "x/sub", "x/sub/v1.2.3", None, "x/sub/"),
        ("h.io/m/x", "h.io/m", "./sub/", "x/sub", "x/sub/v1.2.3", None, "x/sub/"),
    ] {
        let geometry = geometry(path, root, subdirectory).unwrap();
        assert_eq!(geometry.code_dir, code_dir, "{path}");
        assert_eq!(geometry.revision("v1.2.3"), tag, "{path}");
        assert_eq!(geometry.major_dir.as_deref(), major_dir, "{path}");
        assert_eq!(geometry.pseudo_tag_prefix(), pseudo_prefix, "{path}");
    }
}

#[test]
fn a_repository_elsewhere_holds_no_such_module() {
    for (path, root, reason) in [
        ("h.io/a", "h.io/b", "mismatched repo: found h.io/b for h.io/a"),
        ("h.io/ab", "h.io/a", "mismatched repo: found h.io/a for h.io/ab"),
        ("h.io/m/v2/x", "h.io/m/v2/x/y", "mismatched repo: found h.io/m/v2/x/y for h.io/m/v2/x"),
    ] {
        assert_eq!(geometry(path, root, "").unwrap_err().to_string(), reason);
    }
    // Not by discovery of one path: only a root that is the suffix itself and a path below it could be meant.
    assert!(geometry("h.io/m/v2", "h.io/m/v2", "").is_ok());
}

#[test]
fn revisions_of_versions_and_queries() {
    for (rev, revision) in [
        ("v1.2.3", "sub/v1.2.3"),
        ("v1", "sub/v1"),
        ("v1.2", "sub/v1.2"),
        ("v1.0.0+meta", "sub/v1.0.0+meta"),
        ("v2.0.0+incompatible", "sub/v2.0.0"),
        ("v0.0.0-20191109021931-daa7c04131f5", "daa7c04131f5"),
        ("v2.0.1-0.20191109021931-daa7c04131f5+incompatible", "daa7c04131f5"),
        ("main", "main"),
        ("daa7c04131f5", "daa7c04131f5"),
        ("HEAD", "HEAD"),
    ] {
        assert_eq!(geometry("h.io/m/sub", "h.io/m", "").unwrap().revision(rev), revision);
    }
}

#[test]
fn majors_fit_suffixes_as_the_table_of_section_4_says() {
    for (path, fitting, others) in [
        ("h.io/m", &["v0.1.0", "v1.0.0", "v2.0.0+incompatible"][..], &["v2.0.0", "v10.0.0"][..]),
        ("h.io/m/v2", &["v2.0.0", "v2.0.0-rc.1"], &["v1.0.0", "v3.0.0"]),
        ("gopkg.in/y.v2-unstable", &["v2.1.0"], &["v0.1.0"]),
        ("gopkg.in/y.v1", &["v1.0.0", "v0.0.0-20191109021931-daa7c04131f5"], &["v0.1.0", "v0.0.1", "v2.0.0"]),
        ("gopkg.in/y.v0", &["v0.1.0"], &["v1.0.0"]),
    ] {
        let path = ModulePath::parse(path).unwrap();
        assert!(fitting.iter().all(|version| fits(version, &path)), "{path}");
        assert!(!others.iter().any(|version| fits(version, &path)), "{path}");
    }
}
