//! Bits of a session's state ([`Session::state`](super::session::Session::state)); those in [`NEEDS_CHECKS`] send a
//! request through every check of the admission.

/// `requirepass` is set and AUTH hasn't come.
pub const UNAUTHENTICATED: u32 = 1 << 0;
/// Between MULTI and EXEC.
pub const IN_MULTI: u32 = 1 << 1;
/// A queued command was refused: EXEC will fail.
pub const DIRTY_EXEC: u32 = 1 << 2;
/// A watched key changed: EXEC will answer null.
pub const DIRTY_CAS: u32 = 1 << 3;
/// Has subscriptions (a RESP2 client may then do little else).
pub const SUBSCRIBED: u32 = 1 << 4;
/// Receives a copy of every request.
pub const MONITOR: u32 = 1 << 5;
/// CLIENT REPLY OFF.
pub const REPLY_OFF: u32 = 1 << 6;
/// The reply of the running command is to be thrown away.
pub const REPLY_SKIP: u32 = 1 << 7;
/// The reply of the next command is to be thrown away.
pub const REPLY_SKIP_NEXT: u32 = 1 << 8;
/// Waits in a blocking command.
pub const BLOCKED: u32 = 1 << 9;
/// Is to be closed once its replies are out.
pub const CLOSING: u32 = 1 << 10;
/// CLIENT NO-EVICT ON.
pub const NO_EVICT: u32 = 1 << 11;
/// CLIENT NO-TOUCH ON.
pub const NO_TOUCH: u32 = 1 << 12;
/// Executing the queue of an EXEC.
pub const IN_EXEC: u32 = 1 << 13;
/// CLIENT IMPORT-SOURCE ON.
pub const IMPORT_SOURCE: u32 = 1 << 14;
/// Its request waits for the end of a CLIENT PAUSE, or for its turn by a quota.
pub const POSTPONED: u32 = 1 << 15;
/// CLIENT CAPA REDIRECT.
pub const CAPA_REDIRECT: u32 = 1 << 16;
/// Its user may not do everything: each request is checked.
pub const RESTRICTED: u32 = 1 << 17;
/// Running a script.
pub const IN_SCRIPT: u32 = 1 << 18;
/// CLIENT CACHING: what the next request reads is tracked (OPTIN), or is not (OPTOUT).
pub const CACHING: u32 = 1 << 19;
/// CLIENT TRACKING without BCAST: the keys that it reads are remembered.
pub const TRACKS_READS: u32 = 1 << 20;
/// Is a replica (PSYNC): gets the stream.
pub const REPLICA: u32 = 1 << 21;
/// READONLY: a client that is redirected from replicas may read from this one.
pub const READS_REPLICA: u32 = 1 << 22;
/// Its requests count for a quota: of its user, or of a database.
pub const QUOTA: u32 = 1 << 23;
/// Came from one of `priority-subnets`, by which it might take a reserved place.
pub const PRIORITY: u32 = 1 << 24;
/// ASKING: the next request is served from a slot that is being imported.
pub const ASKING: u32 = 1 << 25;
/// Another node of the cluster (AUTH "internal connection"): it may use CLUSTER SYNCSLOTS.
pub const INTERNAL: u32 = 1 << 26;
/// Slots that leave this node are sent to it.
pub const EXPORT: u32 = 1 << 27;
/// The bits with which a request needs every check of the admission.
pub const NEEDS_CHECKS: u32 = UNAUTHENTICATED
    | IN_MULTI
    | SUBSCRIBED
    | MONITOR
    | REPLICA
    | POSTPONED
    | RESTRICTED
    | CAPA_REDIRECT
    | QUOTA;
/// Of these, those with which a request may be all right at a quick look.
pub const QUICKLY_CHECKED: u32 = RESTRICTED | QUOTA;
