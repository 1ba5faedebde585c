//! scratch
use modkeep_testkit::{differential::*, git::Kind, origins::World, *};
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let wanted: Vec<&str> = args.iter().map(String::as_str).collect();
    let t = std::time::Instant::now();
    let world = World::make(Kind::Full, &wanted);
    eprintln!("made {} in {:?}", world.sites.len(), t.elapsed());
    let oracle = Oracle::new(|| world.server.instead(world.pages.before(Go::new("direct", "off"))));
    for site in &world.sites {
        let q = questions::of(site, Scale::ALL);
        eprintln!(
            "{} paths {:?} v{} n{} c{}",
            site.root,
            q.paths,
            q.versions.len(),
            q.names.len(),
            q.commits.len()
        );
        if std::env::var_os("ASK").is_some() {
            let a = oracle.lists(&q.paths.iter().map(|p| (p.clone(), None)).collect());
            for (q, k) in &a.lists {
                println!("{q} list {k:?}");
            }
            for (q, k) in &a.known {
                println!("{q} {}", short(k));
            }
            for g in [&q.names, &q.versions] {
                let a = oracle.download(g);
                for (q, k) in &a.known {
                    println!("{q} {}", short(k));
                }
            }
        }
    }
    eprintln!("{:?}", t.elapsed());
}
fn short(k: &Result<Known, Refused>) -> String {
    match k {
        Ok(k) => format!("{} {} {:?} {:?}", k.version, k.time, k.origin.get("Ref"), k.zip),
        Err(e) => format!("{e:?}"),
    }
}
