//! The rules of this code that the compiler doesn't know: layers, sizes, headers, where `unsafe` may be.
//!
//! Layers hold at two levels.
//!
//! * Between the top modules of `src`: the order is the list [`LAYERS`].
//! * Inside every module that has files of its own: its children (a file, or a folder with all that is below it)
//!   import each other without a circle, so that an order exists in which each imports only those before it. The
//!   parent file (`mod.rs`, or `x.rs` beside the folder `x`) is not part of the graph: it declares the children
//!   and holds what they share, so it may use them and they may use it. That hides no circle between children:
//!   a name that the parent merely imports or re-exports is followed to the file that declares it.

mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use imports::Imports;

/// The top modules by layer; a module imports only modules of lower layers.
const LAYERS: &[&[&str]] = &[
    &["base"],
    &["structures", "resp", "sys"],
    &["value"],
    &["keyspace"],
    &["services"],
    &["engine"],
    &["commands"],
    &["net"],
    &["server"],
];

/// Longest file, in lines; tests in files of their own may be longer.
const MAX_FILE: usize = 700;
/// Longest function, in lines.
const MAX_FUNCTION: usize = 70;

struct Source {
    /// Path below `src`.
    path: PathBuf,
    text: String,
}

fn sources() -> Vec<Source> {
    fn walk(dir: &Path, root: &Path, found: &mut Vec<Source>) {
        let mut entries: Vec<_> = fs::read_dir(dir).expect("src is readable").flatten().collect();
        entries.sort_by_key(|entry| entry.path());
        for entry in entries {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("source files are text");
                found.push(Source { path: path.strip_prefix(root).expect("below").to_path_buf(), text });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    found
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

fn top_module(path: &Path) -> String {
    path.iter().next().map(|part| part.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Whether the file holds only tests.
fn is_test_file(path: &Path) -> bool {
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    name == "tests"
        || name.ends_with("_tests")
        || name.ends_with("testing")
        || path.iter().any(|part| part == "tests")
}

/// The text before the tests at the end of a file.
fn shipped(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap_or(text)
}

fn report(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}:\n  {}", faults.join("\n  "));
}

#[test]
fn modules_import_only_lower_layers() {
    let mut faults = Vec::new();
    for source in sources() {
        let Some(own) = layer_of(&top_module(&source.path)) else { continue };
        for (number, line) in shipped(&source.text).lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for piece in line.split("crate::").skip(1) {
                let module: String = piece.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let same = module == top_module(&source.path);
                if !same && layer_of(&module).is_some_and(|layer| layer >= own) {
                    faults.push(format!("{}:{} uses {module}", source.path.display(), number + 1));
                }
            }
        }
    }
    report("imports from the same layer or above", &faults);
}

/// The import graph of the shipped files.
fn import_graph() -> Imports {
    let files = sources().into_iter().filter(|source| {
        // The program is another crate.
        !is_test_file(&source.path) && source.path != Path::new("main.rs")
    });
    Imports::new(files.map(|source| {
        let path = source.path.with_extension("");
        let mut parts: Vec<String> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
            parts.pop();
        }
        (parts, source.text)
    }))
}

/// Which child of `parent` imports which, each with the files that make it so.
type Siblings = BTreeMap<String, BTreeMap<String, Vec<String>>>;

fn siblings(imports: &Imports, parent: &[String]) -> Siblings {
    let path_of = |number: usize| &imports.modules()[number].path;
    let child_of = |number: usize| path_of(number).strip_prefix(parent)?.first().cloned();
    let mut found = Siblings::new();
    for number in 0..imports.modules().len() {
        let Some(child) = child_of(number) else { continue };
        for used in imports.used_by(number) {
            if let Some(other) = child_of(used).filter(|other| *other != child) {
                let why = format!("{} uses {}", path_of(number).join("/"), path_of(used).join("/"));
                found.entry(child.clone()).or_default().entry(other).or_default().push(why);
            }
        }
    }
    found
}

/// The children that can be reached from `from`.
fn reachable(siblings: &Siblings, from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from.to_string()];
    while let Some(child) = open.pop() {
        for next in siblings.get(&child).into_iter().flat_map(BTreeMap::keys) {
            if seen.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    seen
}

/// The circles among the children of a module: groups of which each reaches each.
fn circles(siblings: &Siblings) -> Vec<BTreeSet<String>> {
    let reach: BTreeMap<&String, BTreeSet<String>> =
        siblings.keys().map(|child| (child, reachable(siblings, child))).collect();
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for (child, reached) in &reach {
        if reached.contains(*child) && !found.iter().any(|circle| circle.contains(*child)) {
            let back = |other: &&String| reach.get(other).is_some_and(|reached| reached.contains(*child));
            found.push(reached.iter().filter(back).cloned().collect());
        }
    }
    found
}

#[test]
fn modules_have_layers_inside() {
    let imports = import_graph();
    let mut faults = Vec::new();
    let parents: Vec<&Vec<String>> = imports.modules().iter().map(|module| &module.path).collect();
    for parent in parents.into_iter().filter(|parent| !parent.is_empty()) {
        let siblings = siblings(&imports, parent);
        let name = parent.join("/");
        for circle in circles(&siblings) {
            faults.push(format!("{name}: {circle:?}"));
            for (child, used) in siblings.iter().filter(|(child, _)| circle.contains(*child)) {
                for (other, why) in used.iter().filter(|(other, _)| circle.contains(*other)) {
                    faults.push(format!("    {child} -> {other}: {}", why.join(", ")));
                }
            }
        }
    }
    report("circles of imports inside a module", &faults);
}

#[test]
fn the_import_graph_sees_paths_imports_and_reexports() {
    let file = |path: &str, text: &str| {
        let path = path.split('/').filter(|part| !part.is_empty()).map(str::to_string).collect();
        (path, text.to_string())
    };
    let imports = Imports::new([
        file("", "pub mod a; pub mod b;"),
        file("a", "mod one; mod two; pub use one::One; fn shared() {}"),
        file("a/one", "use super::two::{self, Two as Renamed}; pub struct One; // use crate::b::Other;"),
        file("a/two", "fn f() { super::One; } pub struct Two;"),
        file(
            "b",
            "use crate::a::*; fn f() -> One { \"crate::a::two\" }\n#[cfg(test)]\nuse crate::a::two::Two;",
        ),
    ]);
    let names = |number: usize| -> Vec<String> {
        imports.used_by(number).into_iter().map(|used| imports.modules()[used].path.join("/")).collect()
    };
    assert_eq!(names(1), [""; 0]);
    assert_eq!(names(2), ["a/two"]);
    assert_eq!(names(3), ["a/one"]);
    assert_eq!(names(4), ["a"]);
    let found = siblings(&imports, &["a".to_string()]);
    assert_eq!(circles(&found), [BTreeSet::from(["one".to_string(), "two".to_string()])]);
}

#[test]
fn services_do_not_import_each_other() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| top_module(&source.path) == "services") {
        let own = source.path.iter().nth(1).map(|part| part.to_string_lossy().replace(".rs", ""));
        for piece in shipped(&source.text).split("crate::services::").skip(1) {
            let other: String = piece.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if Some(&other) != own.as_ref() {
                faults.push(format!("{} uses {other}", source.path.display()));
            }
        }
    }
    report("services that import services", &faults);
}

#[test]
fn files_have_headers_and_sensible_sizes() {
    let mut faults = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//!") && !is_test_file(&source.path) {
            faults.push(format!("{} has no header", source.path.display()));
        }
        let lines = shipped(&source.text).lines().count();
        if lines > MAX_FILE && !is_test_file(&source.path) {
            faults.push(format!("{} has {lines} lines", source.path.display()));
        }
    }
    report("files", &faults);
}

#[test]
fn functions_fit_a_screen() {
    let mut faults = Vec::new();
    for source in sources() {
        if is_test_file(&source.path) {
            continue;
        }
        let mut open: Option<(usize, usize, String)> = None;
        for (number, line) in shipped(&source.text).lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let trimmed = line.trim_start();
            let starts = [
                "fn ",
                "pub fn ",
                "pub(super) fn ",
                "pub(crate) fn ",
                "const fn ",
                "pub const fn ",
                "unsafe fn ",
            ]
            .iter()
            .any(|word| trimmed.starts_with(word));
            if starts && open.is_none() {
                open = Some((number, indent, trimmed.to_string()));
            }
            if let Some((from, at, name)) = &open
                && trimmed == "}"
                && indent == *at
            {
                if number - from > MAX_FUNCTION {
                    faults.push(format!(
                        "{}:{} {} lines: {name}",
                        source.path.display(),
                        from + 1,
                        number - from
                    ));
                }
                open = None;
            }
            if let Some((from, at, _)) = &open
                && number == *from
                && trimmed.ends_with('}')
                && indent == *at
            {
                open = None;
            }
        }
    }
    report("functions longer than a screen", &faults);
}

#[test]
fn unsafe_stays_in_structures_and_sys() {
    let mut faults = Vec::new();
    for source in sources() {
        let module = top_module(&source.path);
        let allowed = module == "structures" || module == "sys";
        let code = source.text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        let lines: Vec<&str> = source.text.lines().collect();
        for (number, line) in code {
            let uses =
                line.contains("unsafe {") || line.contains("unsafe fn") || line.contains("unsafe impl");
            if !uses {
                continue;
            }
            let place = format!("{}:{}", source.path.display(), number + 1);
            if !allowed {
                faults.push(format!("{place} is outside structures and sys"));
            }
            let near = &lines[number.saturating_sub(8)..=number];
            if !near.iter().any(|line| line.contains("SAFETY") || line.contains("# Safety")) {
                faults.push(format!("{place} gives no SAFETY reason"));
            }
        }
    }
    report("unsafe", &faults);
}

#[test]
fn nothing_is_left_open() {
    let open = ["todo!(", "unimplemented!(", "FIXME", "XXX", "#[ignore", "allow(dead_code)", "allow(unused"];
    let mut faults = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            if let Some(word) = open.iter().find(|word| line.contains(*word)) {
                faults.push(format!("{}:{} has {word}", source.path.display(), number + 1));
            }
        }
    }
    report("left open", &faults);
}

/// The paths in backticks in a page: `engine/cron.rs`, `tests/e2e/`.
fn paths_in(page: &str) -> impl Iterator<Item = &str> {
    page.split('`').skip(1).step_by(2).filter(|quoted| {
        let is_path = quoted.chars().all(|c| c.is_ascii_alphanumeric() || "/_.*-".contains(c));
        is_path && quoted.contains('/') && (quoted.ends_with(".rs") || quoted.ends_with('/'))
    })
}

#[test]
fn pages_name_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut faults = Vec::new();
    for page in ["README.md", "docs/architecture.md", "docs/testing.md", "docs/profiling.md"] {
        let text = fs::read_to_string(root.join(page)).expect("the page is there");
        for path in paths_in(&text) {
            let named = path.split('*').next().unwrap_or(path);
            if !root.join("src").join(named).exists() && !root.join(named).exists() {
                faults.push(format!("{page} names {path}"));
            }
        }
    }
    report("files that are not there", &faults);
}

#[test]
fn top_level_holds_only_what_is_agreed() {
    let allowed =
        ["Cargo.toml", "Cargo.lock", "src", "tests", "docs", "README.md", "target", "tcl-suite-out"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = fs::read_dir(root)
        .expect("readable")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    let faults: Vec<String> =
        names.filter(|name| !name.starts_with('.') && !allowed.contains(&name.as_str())).collect();
    report("top level", &faults);
}
