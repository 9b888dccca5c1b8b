//! The project's rules that the compiler doesn't check: layers, sizes, headers, where `unsafe` may be.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules of each layer, the lowest first; a module imports only modules of lower layers.
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

fn module_of(path: &Path) -> String {
    path.iter().next().map(|part| part.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Only tests are in it.
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
        let Some(own) = layer_of(&module_of(&source.path)) else { continue };
        for (number, line) in shipped(&source.text).lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for piece in line.split("crate::").skip(1) {
                let module: String = piece.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let same = module == module_of(&source.path);
                if !same && layer_of(&module).is_some_and(|layer| layer >= own) {
                    faults.push(format!("{}:{} uses {module}", source.path.display(), number + 1));
                }
            }
        }
    }
    report("imports from the same layer or above", &faults);
}

#[test]
fn services_do_not_know_each_other() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| module_of(&source.path) == "services") {
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
fn unsafe_stays_in_its_leaves() {
    let mut faults = Vec::new();
    for source in sources() {
        let module = module_of(&source.path);
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
