//! The same pages to the go command and to us.
//!
//! With `GOVCS=*:off` the go command says of a page that it likes which system and prefix it took from it, and goes no
//! further; of all others it says what is wrong. Both sentences are compared to the letter.

use std::collections::BTreeMap;

use modkeep_testkit::Go;

use super::*;
use crate::config::Govcs;

/// What comes before, inside and after a tag, and what is in it. `@` stands for the module's own path.
const PAGES: &[&str] = &[
    "",
    "plain words",
    "<meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<META NAME='go-import' CONTENT='@ git https://code.example/x'/>",
    "<meta content=\"@ git https://code.example/x\" name=\"go-import\">",
    "<meta name=go-import content=\"@ git https://code.example/x\">",
    "<meta name=\"GO-IMPORT\" content=\"@ git https://code.example/x\">",
    "<meta name=\"go-import \" content=\"@ git https://code.example/x\">",
    "<meta x:name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<x:meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<meta name=\"x\" name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<meta name=\"go-import\" content=\"@ git https://code.example/x sub\">",
    "<meta name=\"go-import\" content=\"@ git https://code.example/x sub more\">",
    "<meta name=\"go-import\" content=\"@ git\">",
    "<meta name=\"go-import\" content=\"  @\n\tgit\u{a0}https://code.example/x  \">",
    "<meta name=\"go-import\" content=\"&#64; git https://code.example/x\">",
    "<meta name=\"go-import\" content=\"@ g&#105;t https://code.example/x\">",
    "<meta name=\"go-import\" content=\"@ g&#x69;t https://code.example/x&amp;&nope;&;&#;&#xZ;\">",
    "<meta name=\"go-import\" content=\"@ git https://code.example/x&#xD800;\">",
    "<meta name=\"go-import\" content=\"@ git https://code.example/x&#0;\">",
    "<meta name=\"go-import\" content=\"@ git https://code.example/x&amp\">",
    "<!-- <meta name=\"go-import\" content=\"@ git https://code.example/x\"> -->",
    "<!-- a -- b --><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<!-- a --- --><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<!----><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<!-- never closed <meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<body><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<BODY/><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "</head><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<head/><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<noscript><meta name=\"go-import\" content=\"@ git https://code.example/x\"></noscript>",
    "<script>if (a < b) {}</script><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<script>if (a<b) {}</script><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<meta name=\"go-import\" content=\"@ git https://code.example/x\"><script>if (a<b) {}</script>",
    "<style>a > b { content: \"]]>\" }</style><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<![CDATA[ <meta name=\"go-import\" content=\"@ git https://code.example/x\"> ]]>",
    "<![CDATA[ ]] ]]><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<![CDATE[ ]]><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<!DOCTYPE html [ <!ENTITY x \">\"> <!-- > --> ]><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<!><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<!DOCTYPE <!",
    "<?xml version=\"1.0\" encoding=\"utf-8\"?><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<?xml version=\"1.1\"?><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<?xml encoding='UTF-16'?><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<?xml encoding='ASCII'?><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<?xml version=1 encoding=\"utf-7\"?><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<?php echo 1 ?><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<? x?><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<meta name=\"go-import\" content=\"@ git https://code.example/x\" checked>",
    "<meta checked name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<meta name=\"go-import\" content=\"@ git https://code.example/<x\">",
    "<meta name=\"go-import\" content=\"@ git https://code.example/x\"",
    "<meta name=\"go-import\" content=\"@ git https://code.example/x",
    "<meta name=\"go-import\" content=\"@ git https://code.example/x\" / >",
    "<1><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<a:b:c><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<\u{fc}ber \u{d7}=\"1\"><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "<\u{fc}ber \u{e4}=\"1\"><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "</p x><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "]]><meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "\u{1}<meta name=\"go-import\" content=\"@ git https://code.example/x\">",
    "\r\n\r\n<p>\r\n<meta\r\nname=\"go-import\"\r\ncontent=\"@\r\ngit\r\nhttps://code.example/x\"\r\n>\r\n<1>",
    "<meta name=\"go-import\" content=\"@ hg https://code.example/x\">",
    "<meta name=\"go-import\" content=\"@ svn https://code.example/x\">",
    "<meta name=\"go-import\" content=\"@ fossil https://code.example/x\">",
    "<meta name=\"go-import\" content=\"@ bzr https://code.example/x\">",
    "<meta name=\"go-import\" content=\"@ GIT https://code.example/x\">",
    "<meta name=\"go-import\" content=\"@ git https://code.example/x /sub\">",
    "<meta name=\"go-import\" content=\"@ git https://code.example/x -sub\">",
    "<meta name=\"go-import\" content=\"@x git https://code.example/x\">",
    "<meta name=\"go-import\" content=\"other.example git https://a\"><meta name=\"go-import\" content=\"@/sub git https://a\">",
    "<meta name=\"go-import\" content=\"@ git https://a\"><meta name=\"go-import\" content=\"@ git https://b\">",
    "<meta name=\"go-import\" content=\"@ git https://a.example/\"><meta name=\"go-import\" content=\"@/x git https://b.example\">",
    "<meta name=\"go-import\" content=\"diff.example git https://code.example/all\">",
    "<meta name=\"go-import\" content=\"diff.example git https://code.example/other\">",
    "<meta name=\"go-import\" content=\"diff.example/ git https://code.example/all\">",
];

/// Variations that a seed makes of the pages: bytes lost, doubled, or replaced by ones that mean something.
fn variations(count: usize) -> Vec<Vec<u8>> {
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % u64::try_from(below).unwrap()).unwrap()
    };
    let special = b"<>/!?-[]&;#\"'=: \n\rx1@\x00\xff\xc3\xa9";
    (0..count)
        .map(|_| {
            let mut page = PAGES[2 + random(PAGES.len() - 2)].as_bytes().to_vec();
            for _ in 0..=random(3) {
                let at = random(page.len().max(1));
                match random(3) {
                    0 if !page.is_empty() => drop(page.remove(at)),
                    1 if !page.is_empty() => page[at] = special[random(special.len())],
                    _ => page.insert(at.min(page.len()), special[random(special.len())]),
                }
            }
            page
        })
        .collect()
}

/// The go command's sentences, by module.
fn oracle(world: &World, modules: &[String]) -> BTreeMap<String, String> {
    let go = world.pages.before(Go::new("direct", "off")).with("GOFLAGS", "-mod=mod").with("GOVCS", "*:off");
    let mut said = BTreeMap::new();
    for modules in modules.chunks(100) {
        let asked: Vec<String> = modules.iter().map(|module| format!("{module}@latest")).collect();
        let mut arguments = vec!["list", "-m", "-e", "-f", "{{.Path}}\t{{.Error.Err | printf \"%q\"}}"];
        arguments.extend(asked.iter().map(String::as_str));
        let run = go.run(&arguments);
        for line in run.stdout.lines() {
            let (module, error) = line.split_once('\t').unwrap_or_else(|| panic!("{line}\n{}", run.stderr));
            said.insert(module.to_owned(), error.to_owned());
        }
    }
    said
}

#[tokio::test]
async fn hostile_d08_pages_mean_to_us_what_they_mean_to_the_go_command() {
    let world = World::new();
    world.pages.import("diff.example", "diff.example git https://code.example/all");
    let pages: Vec<Vec<u8>> =
        PAGES.iter().map(|page| page.as_bytes().to_vec()).chain(variations(400)).collect();
    let modules: Vec<String> = (0..pages.len()).map(|n| format!("diff.example/p{n}")).collect();
    for (module, page) in modules.iter().zip(&pages) {
        let parts: Vec<&[u8]> = page.split(|byte| *byte == b'@').collect();
        world.pages.page(module, Page::Body(200, parts.join(module.as_bytes())));
    }
    let said = oracle(&world, &modules);
    let vcs = vec![Vcs::Git, Vcs::Hg, Vcs::Svn, Vcs::Fossil];
    let govcs = Some(Govcs::parse("*:off").unwrap());
    let resolver = world.resolver(&Config { vcs, govcs, ..Config::default() });
    let mut differences = Vec::new();
    for (module, page) in modules.iter().zip(&pages) {
        let error = resolver
            .place(&path(module), &Nobody)
            .await
            .map_or_else(|error| error.to_string(), |place| format!("{place:?}"));
        let ours = error.replace(" and [origin] govcs of this server", "");
        let ours = format!("{:?}", format!("{module}@latest: {ours}"));
        let theirs = said.get(module).cloned().unwrap_or_default();
        if !same(&ours, &theirs) {
            differences.push(format!("{}\n  go:   {theirs}\n  ours: {ours}", String::from_utf8_lossy(page)));
        }
    }
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), pages.len(), differences.join("\n"));
}

/// Where we are stricter on purpose (V-22, C01), the go command went on; and bytes that are no UTF-8 are spelled
/// differently.
fn same(ours: &str, theirs: &str) -> bool {
    if ["invalid repo root", "invalid subdirectory"].iter().any(|strict| ours.contains(strict)) {
        let later = ["GOVCS disallows", "unknown vcs", "invalid repo root", "invalid subdirectory"];
        return later.iter().any(|text| theirs.contains(text));
    }
    let cut = |text: &str| text.split("invalid XML name:").next().unwrap_or_default().to_owned();
    let plain = |text: &str| cut(text).replace("\\u", "\\").replace(['{', '}'], "");
    plain(ours) == plain(theirs)
}
