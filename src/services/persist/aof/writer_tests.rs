//! Tests of the AOF's writer: each step, the policies, and what errors do.

use std::io;

use super::writer::{AofWriter, Event, Step, SyncPolicy, Turn, Written};

const ENOSPC: i32 = libc::ENOSPC;
const EIO: i32 = libc::EIO;

fn turn(end: u64, now_ms: u64) -> Turn {
    Turn { end, now_ms, hold_syncs: false }
}

fn failed(number: i32) -> io::Result<()> {
    Err(io::Error::from_raw_os_error(number))
}

/// A writer at offset 100 of the stream and 1000 bytes of the file, at 10 seconds.
fn writer(policy: SyncPolicy) -> AofWriter {
    AofWriter::new(policy, 100, 1000, 10_000)
}

/// So many bytes are in the file, all of the stream that follow the prefix.
fn wrote(writer: &mut AofWriter, bytes: u64, result: io::Result<()>, now_ms: u64) {
    let to = writer.written() + bytes.saturating_sub(writer.prefix().len() as u64);
    writer.wrote(Written { bytes, to }, result, now_ms);
}

/// Appends up to `end` and has it written.
fn write(writer: &mut AofWriter, end: u64, now_ms: u64) {
    let from = writer.written();
    assert_eq!(writer.next_step(turn(end, now_ms)), Some(Step::Write { from, to: end }));
    wrote(writer, writer.prefix().len() as u64 + end - from, Ok(()), now_ms);
}

fn is_fatal(writer: &mut AofWriter, part: &str) -> bool {
    let events = writer.take_events();
    events.iter().any(|event| matches!(event, Event::Fatal(text) if text.contains(part)))
}

#[test]
fn everysec_writes_at_once_and_syncs_once_a_second() {
    let mut writer = writer(SyncPolicy::EverySecond);
    assert_eq!((writer.next_step(turn(100, 10_000)), writer.next_due_ms()), (None, None));
    write(&mut writer, 150, 10_100);
    assert_eq!((writer.file_len(), writer.waiting(), writer.confirmed()), (1050, 0, u64::MAX));
    assert_eq!((writer.next_step(turn(150, 10_999)), writer.next_due_ms()), (None, Some(11_000)));
    // Nothing more is appended; the sync comes all the same.
    assert_eq!(writer.next_step(turn(150, 11_000)), Some(Step::Sync));
    assert_eq!((writer.synced(), writer.is_syncing()), (100, true));
    writer.sync_finished(Ok(()));
    assert_eq!((writer.synced(), writer.next_step(turn(150, 20_000))), (150, None));
    write(&mut writer, 160, 20_000);
    assert_eq!(writer.next_step(turn(160, 20_000)), Some(Step::Sync));
    assert_eq!(writer.take_events(), []);
}

#[test]
fn writes_wait_for_a_sync_and_are_counted_as_delayed() {
    let mut writer = writer(SyncPolicy::EverySecond);
    write(&mut writer, 150, 11_000);
    assert_eq!(writer.next_step(turn(150, 11_000)), Some(Step::Sync));
    assert_eq!(writer.next_step(turn(200, 11_500)), None);
    assert_eq!(writer.next_due_ms(), Some(13_500));
    assert_eq!((writer.next_step(turn(200, 13_499)), writer.delayed()), (None, 0));
    assert_eq!((writer.next_step(turn(200, 13_500)), writer.delayed()), (None, 1));
    let events = writer.take_events();
    assert!(matches!(&events[..], [Event::Notice(text)] if text.contains("fsync is taking too long")));
    // It goes on: counted again, not told again.
    assert_eq!((writer.next_step(turn(210, 15_500)), writer.delayed()), (None, 2));
    assert_eq!(writer.take_events(), []);
    assert_eq!(writer.waiting(), 60);
    writer.sync_finished(Ok(()));
    write(&mut writer, 210, 15_600);
    assert_eq!(
        writer.next_step(turn(210, 15_600)),
        Some(Step::Sync),
        "more than a second since the last began"
    );
    assert_eq!(writer.next_step(turn(220, 15_700)), None);
    assert_eq!((writer.next_step(turn(220, 17_699)), writer.delayed()), (None, 2));
    writer.reset_delayed();
    assert_eq!((writer.next_step(turn(220, 17_700)), writer.delayed()), (None, 1));
    assert_eq!(writer.take_events().len(), 1, "told for each sync");
    // Memory is not without end.
    let end = 220 + (256 << 20);
    assert_eq!(writer.next_step(turn(end, 17_800)), Some(Step::Write { from: 210, to: end }));
}

#[test]
fn no_leaves_syncs_to_the_system() {
    let mut writer = writer(SyncPolicy::No);
    write(&mut writer, 150, 11_000);
    assert_eq!((writer.next_step(turn(150, 99_000)), writer.next_due_ms()), (None, None));
    writer.set_policy(SyncPolicy::EverySecond);
    assert_eq!(writer.next_step(turn(150, 99_000)), Some(Step::Sync));
}

#[test]
fn always_commits_what_comes_during_a_sync_together() {
    let mut writer = writer(SyncPolicy::Always);
    write(&mut writer, 110, 10_000);
    assert_eq!(writer.next_step(turn(110, 10_000)), Some(Step::Sync));
    assert_eq!(writer.confirmed(), 100);
    for end in [120, 130, 140] {
        assert_eq!(writer.next_step(turn(end, 10_001)), None);
    }
    writer.sync_finished(Ok(()));
    assert_eq!(writer.confirmed(), 110);
    write(&mut writer, 140, 10_002);
    assert_eq!((writer.next_step(turn(140, 10_002)), writer.confirmed()), (Some(Step::Sync), 110));
    writer.sync_finished(Ok(()));
    assert_eq!((writer.confirmed(), writer.synced(), writer.next_step(turn(140, 20_000))), (140, 140, None));
    assert_eq!(writer.delayed(), 0);
}

#[test]
fn syncs_are_held_during_a_rewrite_if_that_is_set() {
    for policy in [SyncPolicy::Always, SyncPolicy::EverySecond] {
        let mut writer = writer(policy);
        let held = |now_ms| Turn { end: 150, now_ms, hold_syncs: true };
        assert_eq!(writer.next_step(held(12_000)), Some(Step::Write { from: 100, to: 150 }));
        wrote(&mut writer, 50, Ok(()), 12_000);
        assert_eq!(writer.next_step(held(99_000)), None);
        assert!(writer.confirmed() >= 150 && writer.synced() == 100);
        assert_eq!(writer.next_step(turn(150, 99_000)), Some(Step::Sync));
    }
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_room() {
    let mut writer = writer(SyncPolicy::EverySecond);
    assert_eq!(writer.refusal(), None);
    assert_eq!(writer.next_step(turn(200, 10_000)), Some(Step::Write { from: 100, to: 200 }));
    wrote(&mut writer, 30, failed(ENOSPC), 10_000);
    assert_eq!(
        writer.take_events(),
        [Event::Warning(
            "Short write while writing to the AOF file: (nwritten=30, expected=100): No space left on device"
                .into()
        )]
    );
    let refusal = "MISCONF Errors writing to the AOF file: No space left on device";
    assert_eq!(writer.refusal().as_deref(), Some(refusal));
    assert_eq!(writer.next_step(turn(200, 10_000)), Some(Step::Truncate { len: 1000 }));
    writer.truncated(Ok(()));
    assert_eq!((writer.next_step(turn(200, 10_050)), writer.next_due_ms()), (None, Some(10_100)));
    assert_eq!(writer.next_step(turn(210, 10_100)), Some(Step::Write { from: 100, to: 210 }));
    wrote(&mut writer, 0, failed(ENOSPC), 10_100);
    assert_eq!(writer.take_events(), [], "told once in thirty seconds");
    assert_eq!(writer.next_step(turn(210, 41_000)), Some(Step::Write { from: 100, to: 210 }));
    wrote(&mut writer, 0, failed(EIO), 41_000);
    assert_eq!(
        writer.take_events(),
        [Event::Warning("Error writing to the AOF file: Input/output error".into())]
    );
    write(&mut writer, 210, 41_200);
    assert_eq!(
        writer.take_events(),
        [Event::Notice("AOF write error looks solved, Redis can write again.".into())]
    );
    assert_eq!((writer.refusal(), writer.file_len()), (None, 1110));
}

#[test]
fn what_cannot_be_cut_off_is_gone_on_with() {
    let mut writer = writer(SyncPolicy::No);
    writer.annotate(1_700_000_000);
    let prefix = writer.prefix().len() as u64;
    assert_eq!(prefix, "#TS:1700000000\r\n".len() as u64);
    assert_eq!(writer.next_step(turn(200, 10_000)), Some(Step::Write { from: 100, to: 200 }));
    wrote(&mut writer, prefix + 30, failed(ENOSPC), 10_000);
    writer.truncated(failed(EIO));
    assert_eq!((writer.written(), writer.file_len()), (130, 1030 + prefix));
    // No annotation in the middle of a command.
    writer.annotate(1_700_000_001);
    assert_eq!(writer.prefix(), b"");
    write(&mut writer, 200, 10_100);
    writer.annotate(1_700_000_001);
    assert_eq!(writer.prefix(), b"#TS:1700000001\r\n");
    // A part of the prefix.
    assert_eq!(writer.next_step(turn(210, 10_200)), Some(Step::Write { from: 200, to: 210 }));
    wrote(&mut writer, 4, failed(ENOSPC), 10_200);
    writer.truncated(failed(EIO));
    assert_eq!((writer.written(), writer.prefix()), (200, &b"1700000001\r\n"[..]));
}

#[test]
fn always_ends_the_process_when_it_cannot_write_or_sync() {
    let mut full = writer(SyncPolicy::Always);
    full.next_step(turn(200, 10_000));
    wrote(&mut full, 0, failed(ENOSPC), 10_000);
    assert!(is_fatal(
        &mut full,
        "Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting..."
    ));
    assert_eq!((full.next_step(turn(200, 99_000)), full.confirmed()), (None, 100));

    let mut partly = writer(SyncPolicy::Always);
    partly.next_step(turn(200, 10_000));
    wrote(&mut partly, 1, failed(ENOSPC), 10_000);
    assert!(!is_fatal(&mut partly, ""), "the part goes first");
    assert_eq!(partly.next_step(turn(200, 10_000)), Some(Step::Truncate { len: 1000 }));
    partly.truncated(Ok(()));
    assert!(is_fatal(&mut partly, "Can't recover"));

    let mut failing = writer(SyncPolicy::Always);
    write(&mut failing, 200, 10_000);
    assert_eq!(failing.next_step(turn(200, 10_000)), Some(Step::Sync));
    failing.sync_finished(failed(EIO));
    let text = "Can't persist AOF for fsync error when the AOF fsync policy is 'always': Input/output error. Exiting...";
    assert!(is_fatal(&mut failing, text));
    assert_eq!(failing.confirmed(), 100);
}

/// The next sync may succeed without having written what this one failed to.
#[test]
fn a_failed_sync_refuses_writes_and_asks_for_a_rewrite() {
    let mut writer = writer(SyncPolicy::EverySecond);
    write(&mut writer, 150, 11_000);
    assert_eq!(writer.next_step(turn(150, 11_000)), Some(Step::Sync));
    writer.sync_finished(failed(EIO));
    assert_eq!(
        writer.take_events(),
        [Event::Warning("Fail to fsync the AOF file: Input/output error".into())]
    );
    let refusal = "MISCONF Errors writing to the AOF file: Input/output error";
    assert_eq!((writer.refusal().as_deref(), writer.synced()), (Some(refusal), 100));
    assert_eq!(writer.next_step(turn(150, 11_999)), None);
    assert_eq!(writer.next_step(turn(150, 12_000)), Some(Step::Sync), "without a further write");
    writer.sync_finished(failed(EIO));
    assert_eq!(writer.take_events(), [], "told once");
    assert_eq!(writer.next_step(turn(150, 13_000)), Some(Step::Sync));
    writer.sync_finished(Ok(()));
    assert_eq!((writer.take_events(), writer.refusal()), (vec![Event::RewriteNeeded], None));
}

#[test]
fn an_increment_begins_when_the_one_before_is_durable() {
    for policy in [SyncPolicy::Always, SyncPolicy::EverySecond, SyncPolicy::No] {
        let mut writer = writer(policy);
        write(&mut writer, 150, 11_000);
        let synced_before = writer.next_step(turn(150, 11_000)).is_some();
        writer.request_switch();
        assert_eq!(synced_before, policy != SyncPolicy::No);
        if synced_before {
            assert_eq!(writer.next_step(turn(160, 11_000)), None, "not while a sync runs");
            writer.sync_finished(Ok(()));
        }
        write(&mut writer, 160, 11_100);
        assert_eq!(writer.next_step(turn(160, 11_100)), Some(Step::Switch));
        writer.switched(11_100);
        assert_eq!(writer.file_len(), 0);
        assert_eq!(writer.next_step(turn(170, 11_100)), None);
        assert!(writer.synced() < 160);
        writer.sync_finished(Ok(()));
        assert_eq!(writer.synced(), 160);
        write(&mut writer, 170, 11_200);
        assert_eq!(writer.file_len(), 10);
        writer.request_switch();
        writer.cancel_switch();
        assert_ne!(writer.next_step(turn(170, 11_200)), Some(Step::Switch));
    }
}

#[test]
fn closing_writes_and_syncs_everything() {
    let mut writer = writer(SyncPolicy::No);
    write(&mut writer, 150, 11_000);
    writer.request_switch();
    assert_eq!(writer.next_step(turn(150, 11_000)), Some(Step::Switch));
    writer.switched(11_000);
    writer.close();
    // Not even for the running sync.
    write(&mut writer, 160, 11_001);
    assert_eq!(writer.next_step(turn(160, 11_001)), None);
    writer.sync_finished(Ok(()));
    assert_eq!(writer.next_step(turn(160, 11_002)), Some(Step::Sync));
    writer.sync_finished(Ok(()));
    assert_eq!((writer.next_step(turn(160, 11_003)), writer.synced()), (None, 160));
}

#[test]
fn closing_ends_with_errors_too() {
    let mut full = writer(SyncPolicy::EverySecond);
    full.next_step(turn(150, 11_000));
    wrote(&mut full, 0, failed(ENOSPC), 11_000);
    full.close();
    assert_eq!(
        full.next_step(turn(150, 11_000)),
        Some(Step::Write { from: 100, to: 150 }),
        "one more attempt"
    );
    wrote(&mut full, 0, failed(ENOSPC), 11_000);
    assert_eq!((full.next_step(turn(150, 11_000)), full.is_syncing()), (None, false));

    let mut failing = writer(SyncPolicy::EverySecond);
    write(&mut failing, 150, 10_000);
    failing.close();
    assert_eq!(failing.next_step(turn(150, 10_000)), Some(Step::Sync));
    failing.sync_finished(failed(EIO));
    assert_eq!(failing.next_step(turn(150, 99_000)), None);
}

#[test]
fn annotations_come_once_a_second_and_first_in_an_increment() {
    let mut writer = writer(SyncPolicy::No);
    writer.annotate(50);
    assert_eq!(writer.prefix(), b"#TS:50\r\n");
    write(&mut writer, 150, 11_000);
    writer.annotate(50);
    assert_eq!((writer.prefix(), writer.file_len()), (&b""[..], 1058));
    writer.request_switch();
    assert_eq!(writer.next_step(turn(150, 11_000)), Some(Step::Switch));
    writer.switched(11_000);
    writer.annotate(50);
    assert_eq!(writer.prefix(), b"#TS:50\r\n");
}

/// The disk is full, but a rewrite has made a new base: what the old increment lacks is in it.
#[test]
fn a_new_base_supersedes_what_could_not_be_written() {
    let mut writer = writer(SyncPolicy::EverySecond);
    write(&mut writer, 150, 11_000);
    assert_eq!(writer.next_step(turn(150, 11_000)), Some(Step::Sync));
    writer.sync_finished(Ok(()));
    writer.annotate(11);
    assert_eq!(writer.next_step(turn(300, 11_100)), Some(Step::Write { from: 150, to: 300 }));
    wrote(&mut writer, 20, failed(ENOSPC), 11_100);
    writer.request_switch();
    // Nothing follows the cut: writes may go on.
    writer.superseded(300);
    assert_eq!((writer.refusal(), writer.waiting(), writer.file_len(), writer.synced()), (None, 0, 0, 300));
    assert_eq!(writer.next_step(turn(300, 11_150)), None, "neither a truncation nor a switch");
    assert!(writer.prefix().is_empty());
    let solved = Event::Notice("AOF write error looks solved, Redis can write again.".into());
    assert!(writer.take_events().contains(&solved));
    write(&mut writer, 310, 11_150);
    assert_eq!(writer.file_len(), 10);

    // Something follows: it is tried at once, and its success ends the refusal. A sync that runs is of the old increment.
    assert_eq!(writer.next_step(turn(310, 12_200)), Some(Step::Sync));
    assert_eq!(writer.next_step(turn(400, 12_200)), None);
    writer.superseded(350);
    assert_eq!((writer.waiting(), writer.synced()), (50, 350));
    writer.sync_finished(Ok(()));
    assert_eq!(writer.synced(), 350);
    write(&mut writer, 400, 12_201);
    assert_eq!(writer.refusal(), None);
}

/// What is only for replicas moves the offset and not the file's length.
#[test]
fn offsets_of_the_stream_are_none_of_the_file() {
    let mut writer = writer(SyncPolicy::Always);
    // 30 of 100 bytes are for replicas.
    assert_eq!(writer.next_step(turn(200, 10_000)), Some(Step::Write { from: 100, to: 200 }));
    writer.wrote(Written { bytes: 70, to: 200 }, Ok(()), 10_000);
    assert_eq!((writer.file_len(), writer.written(), writer.waiting()), (1070, 200, 0));
    assert_eq!(writer.next_step(turn(200, 10_000)), Some(Step::Sync));
    writer.sync_finished(Ok(()));
    assert_eq!(writer.confirmed(), 200);
    // All of it is: nothing is synced for it, and no reply waits.
    assert_eq!(writer.next_step(turn(250, 10_001)), Some(Step::Write { from: 200, to: 250 }));
    writer.wrote(Written { bytes: 0, to: 250 }, Ok(()), 10_001);
    assert_eq!((writer.file_len(), writer.confirmed()), (1070, 250));
    assert_eq!(writer.next_step(turn(250, 10_001)), None);
    // Behind a write that is not durable yet it waits with that.
    assert_eq!(writer.next_step(turn(260, 10_002)), Some(Step::Write { from: 250, to: 260 }));
    writer.wrote(Written { bytes: 10, to: 260 }, Ok(()), 10_002);
    assert_eq!(writer.next_step(turn(270, 10_002)), Some(Step::Write { from: 260, to: 270 }));
    writer.wrote(Written { bytes: 0, to: 270 }, Ok(()), 10_002);
    assert_eq!((writer.confirmed(), writer.next_step(turn(270, 10_002))), (250, Some(Step::Sync)));

    // A write that fails behind a range for replicas is cut off the file by its bytes, and goes on by its offset.
    let mut writer = self::writer(SyncPolicy::No);
    assert_eq!(writer.next_step(turn(200, 10_000)), Some(Step::Write { from: 100, to: 200 }));
    writer.wrote(Written { bytes: 25, to: 150 }, failed(ENOSPC), 10_000);
    assert_eq!(writer.next_step(turn(200, 10_000)), Some(Step::Truncate { len: 1000 }));
    writer.truncated(failed(EIO));
    assert_eq!((writer.file_len(), writer.written()), (1025, 150));
    assert_eq!(writer.next_step(turn(200, 10_100)), Some(Step::Write { from: 150, to: 200 }));
    writer.wrote(Written { bytes: 5, to: 180 }, failed(ENOSPC), 10_100);
    assert_eq!(writer.next_step(turn(200, 10_100)), Some(Step::Truncate { len: 1025 }));
    writer.truncated(Ok(()));
    assert_eq!((writer.file_len(), writer.written()), (1025, 150));
}
