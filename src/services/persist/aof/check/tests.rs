//! Tests of the check: output and exit statuses as `redis-check-aof` 8.6 has them.

use std::path::Path;

use super::{Console, run};
use crate::sys::disk::Disk;
use crate::sys::simulated_disk::{Operation, SimulatedDisk};

const SET: &str = "*3\r\n$3\r\nset\r\n$3\r\nfoo\r\n$5\r\nhello\r\n";
const MULTI: &str = "*1\r\n$5\r\nMULTI\r\n";
const GET: &str = "*2\r\n$3\r\nGET\r\n$3\r\nabc\r\n";

/// Keeps the output, and answers with one line.
#[derive(Default)]
struct Recorder {
    output: String,
    answer: bool,
    progress: Vec<(u64, u64)>,
}

impl Console for Recorder {
    fn print(&mut self, text: &str) {
        self.output.push_str(text);
    }

    fn confirm(&mut self) -> bool {
        self.answer
    }

    fn progress(&mut self, done: u64, len: u64) {
        self.progress.push((done, len));
    }
}

fn check_with(disk: &SimulatedDisk, arguments: &[&str], answer: bool) -> (i32, String) {
    let mut console = Recorder { answer, ..Recorder::default() };
    let arguments: Vec<Vec<u8>> = arguments.iter().map(|argument| argument.as_bytes().to_vec()).collect();
    let status = run(&arguments, disk, 1_700_000_000_000, &mut console);
    assert!(console.progress.iter().all(|(done, len)| done <= len));
    (status, console.output)
}

fn check(disk: &SimulatedDisk, arguments: &[&str]) -> (i32, String) {
    check_with(disk, arguments, true)
}

/// The lines of a check without the first, and the summary.
fn check_file(content: &str) -> (i32, String) {
    let disk = SimulatedDisk::new(1);
    disk.put("a.aof", content.as_bytes());
    let (status, output) = check(&disk, &["a.aof"]);
    let rest = output.strip_prefix("Start checking Old-Style AOF\n").expect("the first line");
    (status, rest.lines().filter(|line| !line.starts_with("[info]")).collect::<Vec<_>>().join("\n"))
}

#[test]
fn sound_files_are_valid() {
    assert_eq!(
        check_file(SET),
        (
            0,
            "AOF analyzed: filename=a.aof, size=33, ok_up_to=33, ok_up_to_line=8, diff=0\nAOF a.aof is valid"
                .into()
        )
    );
    assert_eq!(check_file(""), (0, "AOF a.aof is empty".into()));
    assert_eq!(check_file(&format!("#TS:1\r\n{MULTI}{SET}*1\r\n$4\r\nexec\r\n")).0, 0);
    // Commands with the text of a manifest.
    assert_eq!(check_file("*3\r\n$3\r\nset\r\n$4\r\nfile\r\n$4\r\nfile\r\n").0, 0);
}

#[test]
fn faults_are_told_with_their_place() {
    let not_valid = "AOF a.aof is not valid. Use the --fix option to try fixing it.";
    let cases = [
        (format!("{SET}!!!"), "AOF a.aof format error", "size=36, ok_up_to=33, ok_up_to_line=8, diff=3"),
        (
            format!("{SET}*2\r\n$3\r\nGET\r\n$3\r\nab"),
            "0x              32: the end of the file within a command",
            "size=52, ok_up_to=33, ok_up_to_line=12, diff=19",
        ),
        (
            format!("{SET}{MULTI}{GET}"),
            "0x              46: the end of the file before the EXEC of a MULTI",
            "size=70, ok_up_to=33, ok_up_to_line=16, diff=37",
        ),
        (
            format!("{SET}{MULTI}{GET}{MULTI}"),
            "0x              46: Unexpected MULTI in AOF",
            "size=85, ok_up_to=33, ok_up_to_line=19, diff=52",
        ),
        (
            format!("{SET}*1\r\n$4\r\nEXEC\r\n"),
            "0x              21: Unexpected EXEC in AOF",
            "size=47, ok_up_to=33, ok_up_to_line=11, diff=14",
        ),
        (
            format!("{SET}*2\r\n$3\r\nGET\r\n!3\r\nabc\r\n"),
            "0x              2e: expected '$', got '!'",
            "size=55, ok_up_to=33, ok_up_to_line=11, diff=22",
        ),
        ("!!!\n".into(), "AOF a.aof format error", "size=4, ok_up_to=0, ok_up_to_line=1, diff=4"),
    ];
    for (content, fault, analyzed) in cases {
        let expected = format!("{fault}\nAOF analyzed: filename=a.aof, {analyzed}\n{not_valid}");
        assert_eq!(check_file(&content), (1, expected));
    }
}

#[test]
fn a_summary_says_what_there_is() {
    let disk = SimulatedDisk::new(1);
    let select = "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n";
    let text = format!(
        "#TS:100\r\n{select}{SET}{}#TS:200\r\n{MULTI}{SET}*1\r\n$4\r\nEXEC\r\n",
        SET.replace("set", "SET")
    );
    disk.put("a.aof", text.as_bytes());
    let (_, output) = check(&disk, &["a.aof"]);
    let info: Vec<_> = output.lines().filter(|line| line.starts_with("[info]")).collect();
    assert_eq!(
        info,
        [
            "[info] 6 commands read: SET 3, EXEC 1, MULTI 1, SELECT 1",
            "[info] 1 transactions",
            "[info] written from timestamp 100 to 200"
        ]
    );
    // Names without end take a bounded amount of memory.
    let names = (0..3000).map(|number| format!("*1\r\n$5\r\n{number:05}\r\n")).collect::<String>();
    disk.put("b.aof", format!("{names}{}", SET.repeat(7)).as_bytes());
    let (_, output) = check(&disk, &["b.aof"]);
    assert!(output.contains("[info] 3007 commands read: 00000 1, "), "{output}");
    assert!(output.contains(", 00007 1, others 2999\n"), "{output}");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let disk = SimulatedDisk::new(1);
    disk.put("dir/a", b"");
    assert_eq!(
        check(&disk, &["missing.aof"]),
        (1, "Cannot open file missing.aof: No such file or directory\n".into())
    );
    assert_eq!(check(&disk, &["dir"]).0, 1);
    let (status, usage) = check(&disk, &[]);
    assert!(status == 1 && usage.starts_with("Usage: redloop --check-aof "));
    assert_eq!(check(&disk, &["--bla", "a"]), (1, usage.clone()));
    assert_eq!(check(&disk, &["--fix", "a", "b"]), (1, usage));
    assert_eq!(
        check(&disk, &["--truncate-to-timestamp", "abc", "a"]),
        (1, "Invalid timestamp, aborting...\n".into())
    );
}

#[test]
fn a_fault_at_the_end_is_cut_off_if_that_is_wanted() {
    let disk = SimulatedDisk::new(1);
    disk.put("a.aof", format!("{SET}!!!").as_bytes());
    let asked = "This will shrink the AOF a.aof from 36 bytes, with 3 bytes, to 33 bytes\nContinue? [y/N]: ";
    let (status, output) = check_with(&disk, &["--fix", "a.aof"], false);
    assert!(status == 1 && output.ends_with(&format!("{asked}Aborting...\n")), "{output}");
    assert_eq!(disk.content("a.aof").map(|content| content.len()), Some(36));
    disk.set_failure(Operation::Truncate, Some(libc::EIO));
    let (status, output) = check(&disk, &["--fix", "a.aof"]);
    assert!(status == 1 && output.ends_with("Failed to truncate AOF a.aof\n"), "{output}");
    disk.set_failure(Operation::Truncate, None);
    let (status, output) = check(&disk, &["--fix", "a.aof"]);
    assert!(
        status == 0 && output.ends_with(&format!("{asked}Successfully truncated AOF a.aof\n")),
        "{output}"
    );
    assert_eq!(disk.content("a.aof"), Some(SET.as_bytes().to_vec()));
    let (status, output) = check(&disk, &["--fix", "a.aof"]);
    assert!(status == 0 && output.ends_with("AOF a.aof is valid\n"), "{output}");
}

/// A disk with a manifest of a base and increments of this content.
fn multi_part(base: &str, increments: &[&str]) -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    let mut manifest = "file b.aof seq 1 type b\n".to_string();
    disk.put("dir/b.aof", base.as_bytes());
    for (index, content) in increments.iter().enumerate() {
        manifest += &format!("file {index}.aof seq {} type i\n", index + 1);
        disk.put(format!("dir/{index}.aof"), content.as_bytes());
    }
    disk.put("dir/m.manifest", manifest.as_bytes());
    disk
}

#[test]
fn the_files_of_a_manifest_are_checked_in_order() {
    let (status, output) = check(&multi_part(SET, &[SET, ""]), &["dir/m.manifest"]);
    let expected = "Start checking Multi Part AOF\n\
         Start to check BASE AOF (RESP format).\n\
         AOF analyzed: filename=b.aof, size=33, ok_up_to=33, ok_up_to_line=8, diff=0\n\
         [info] 1 commands read: SET 1\n\
         BASE AOF b.aof is valid\n\
         Start to check INCR files.\n\
         AOF analyzed: filename=0.aof, size=33, ok_up_to=33, ok_up_to_line=8, diff=0\n\
         [info] 1 commands read: SET 1\n\
         INCR AOF 0.aof is valid\n\
         INCR AOF 1.aof is empty\n\
         All AOF files and manifest are valid\n";
    assert_eq!((status, output.as_str()), (0, expected));

    let broken = format!("{SET}{MULTI}");
    let disk = multi_part(&broken, &[SET]);
    let (status, output) = check(&disk, &["dir/m.manifest"]);
    assert!(
        status == 1 && output.ends_with("AOF b.aof is not valid. Use the --fix option to try fixing it.\n")
    );
    let (status, output) = check(&disk, &["--fix", "dir/m.manifest"]);
    assert!(
        status == 1 && output.ends_with("Failed to truncate AOF b.aof because it is not the last file\n")
    );
    // The last file with content.
    let disk = multi_part(SET, &[&broken, ""]);
    let (status, output) = check(&disk, &["--fix", "dir/m.manifest"]);
    assert!(status == 0 && output.contains("Successfully truncated AOF 0.aof\n"), "{output}");
    assert_eq!(disk.content("dir/0.aof"), Some(SET.as_bytes().to_vec()));

    disk.remove(Path::new("dir/1.aof")).expect("removed");
    let (status, output) = check(&disk, &["dir/m.manifest"]);
    assert!(status == 1 && output.ends_with("Cannot open file dir/1.aof: No such file or directory\n"));
    disk.put("x.manifest", b"file a seq\n");
    let (status, output) = check(&disk, &["x.manifest"]);
    assert!(status == 1 && output.contains(">>> 'file a seq'\n"), "{output}");
    assert!(output.ends_with("Invalid AOF manifest file format\n"), "{output}");
}

#[test]
fn what_is_newer_than_a_time_is_cut_off() {
    let text = format!("#TS:100\r\n{SET}#TS:200\r\n{SET}");
    let cases = [
        ("300", 84, 0, "Truncate nothing in AOF a.aof to timestamp 300\nAOF a.aof is valid\n"),
        ("200", 84, 0, "Truncate nothing in AOF a.aof to timestamp 200\nAOF a.aof is valid\n"),
        ("150", 42, 0, "Successfully truncated AOF a.aof to timestamp 150\n"),
        ("100", 42, 0, "Successfully truncated AOF a.aof to timestamp 100\n"),
        ("50", 84, 1, "AOF a.aof has nothing before timestamp 50, aborting...\n"),
    ];
    for (time, len, status, end) in cases {
        let disk = SimulatedDisk::new(1);
        disk.put("a.aof", text.as_bytes());
        let (found, output) = check(&disk, &["--truncate-to-timestamp", time, "a.aof"]);
        assert_eq!((found, output), (status, format!("Start checking Old-Style AOF\n{end}")));
        assert_eq!(disk.content("a.aof").map(|content| content.len()), Some(len));
    }
    let disk = multi_part(&text, &[SET]);
    let (status, output) = check(&disk, &["--truncate-to-timestamp", "150", "dir/m.manifest"]);
    let refused =
        "Failed to truncate AOF dir/b.aof to timestamp 150 to offset 42 because it is not the last file.\n";
    assert!(status == 1 && output.contains(refused), "{output}");
    disk.put("a.aof", b"#TS:1x\r\n");
    let (status, output) = check(&disk, &["--truncate-to-timestamp", "150", "a.aof"]);
    assert!(status == 1 && output.ends_with("Invalid timestamp annotation\n"), "{output}");
    assert_eq!(check(&disk, &["a.aof"]).0, 0, "of no interest otherwise");
}

#[test]
fn a_base_may_begin_with_an_rdb_file() {
    // Two keys, no checksum.
    let rdb = b"REDIS0011\xfe\0\0\x01a\x01b\0\x01c\x01d\xff\0\0\0\0\0\0\0\0";
    let disk = SimulatedDisk::new(1);
    let file = [&rdb[..], SET.as_bytes()].concat();
    disk.put("a.aof", &file);
    let (status, output) = check(&disk, &["a.aof"]);
    let analyzed = format!("AOF analyzed: filename=a.aof, size={0}, ok_up_to={0}, ", file.len());
    for part in [
        "[offset 0] Checking RDB file a.aof\n",
        "\\o/ RDB looks OK! \\o/\n[info] 2 keys read\n[info] 0 expires\n",
        "RDB preamble is OK, proceeding with AOF tail...\n",
        &analyzed,
        "AOF a.aof is valid\n",
    ] {
        assert!(status == 0 && output.contains(part), "{output}: {part}");
    }
    let disk = multi_part("", &[SET]);
    disk.put("dir/b.aof", rdb);
    let (status, output) = check(&disk, &["dir/m.manifest"]);
    assert!(status == 0 && output.contains("Start to check BASE AOF (RDB format).\n"), "{output}");
    disk.put("dir/b.aof", &rdb[..20]);
    let (status, output) = check(&disk, &["dir/m.manifest"]);
    assert!(output.contains("--- RDB ERROR DETECTED ---\n[offset "), "{output}");
    assert!(status == 1 && output.ends_with("RDB preamble of AOF file is not sane, aborting.\n"), "{output}");
}
