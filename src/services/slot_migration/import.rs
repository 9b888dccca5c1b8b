//! The target's state machine: what the words of a source lead to.
//!
//! ```text
//! Valkey   waiting-for-ack ─ACK▶ receiving-snapshot ─SNAPSHOT-EOF▶ waiting-for-paused ─PAUSED▶ failover-requested ─FAILOVER-GRANTED▶ failover-granted
//!                                                                  REQUEST-PAUSE ▲             REQUEST-FAILOVER ▲                    (takes over)
//!
//! Redis    main      AUTH ─▶ CONF NODE-ID ─▶ SYNC ─▶ +RDBCHANNELSYNCSLOTS ──▶ … stream ─ STREAM-EOF ▶ (takes over)
//!          snapshot                                    AUTH ─▶ RDBCHANNEL ─▶ +SLOTSSNAPSHOT … keys ─ SNAPSHOT-EOF
//! ```
//!
//! Redis's stream begins while the snapshot is under way, and waits for its end.

use super::job::State;
use super::ranges::SlotRanges;
use crate::base::ids::NodeId;
use crate::resp::encode_request;

/// Bytes of the longest reply that is taken from a source.
const MAX_LINE: usize = 1024;

/// What a source of Valkey's protocol says to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Ack,
    SnapshotEof,
    Paused,
    FailoverGranted,
}

/// What a word leads to: a state, and an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    pub state: State,
    pub answer: Option<&'static str>,
}

/// What a word leads to; `None` if it has no place in this state.
pub fn advance(state: State, word: Word) -> Option<Advance> {
    let (state, answer) = match (word, state) {
        (Word::Ack, State::WaitingForAck) => (State::ReceivingSnapshot, None),
        (Word::Ack, state) => (state, None),
        (Word::SnapshotEof, State::ReceivingSnapshot) => (State::WaitingForPaused, Some("REQUEST-PAUSE")),
        (Word::Paused, State::WaitingForPaused) => (State::FailoverRequested, Some("REQUEST-FAILOVER")),
        (Word::FailoverGranted, State::FailoverRequested) => (State::FailoverGranted, None),
        _ => return None,
    };
    Some(Advance { state, answer })
}

/// Whether a target of Valkey's protocol may say ACK: not before the source has, nor once it has nothing to do with it any more.
pub fn sends_acks(state: State) -> bool {
    matches!(
        state,
        State::ReceivingSnapshot
            | State::WaitingForPaused
            | State::FailoverRequested
            | State::FailoverGranted
    )
}

/// Which of the two connections of Redis's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Main,
    Snapshot,
}

/// What a source of Redis's protocol is told of an import.
#[derive(Clone, Debug)]
pub struct Order {
    /// The secret that the cluster's nodes share.
    pub secret: NodeId,
    /// This node.
    pub node: NodeId,
    /// The id of the task.
    pub task: String,
    pub slots: SlotRanges,
}

/// What follows from bytes of a source, in a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// More bytes are needed.
    Wait,
    Send(Vec<u8>),
    /// The source isn't ready: [`Handshake::repeat`] after a while.
    NotReady,
    /// The handshake is over: the snapshot's channel is to be opened (main), keys follow (snapshot).
    Over,
    /// Why it has failed.
    Failed(String),
}

/// The handshake over one connection to a source of Redis's protocol, one request at a time.
#[derive(Clone, Debug)]
pub struct Handshake {
    channel: Channel,
    state: State,
    line: Vec<u8>,
}

impl Handshake {
    pub fn new(channel: Channel) -> Self {
        Handshake { channel, state: State::Connecting, line: Vec::new() }
    }

    /// How far it is, in the words of reports.
    pub fn state(&self) -> State {
        self.state
    }

    /// The connection is there: the first request.
    pub fn connected(&mut self, order: &Order) -> Vec<u8> {
        self.state = State::AuthReply;
        request(&["AUTH", "internal connection", &order.secret.to_string()])
    }

    /// Takes bytes of the source; those behind the end of the handshake stay in `input`.
    pub fn receive(&mut self, order: &Order, input: &mut &[u8]) -> Step {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            self.line.extend_from_slice(input);
            *input = &[];
            return match self.line.len() > MAX_LINE {
                true => Step::Failed("the reply of the source node is too long".into()),
                false => Step::Wait,
            };
        };
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(&input[..end]);
        *input = &input[end + 1..];
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        // While it waits for its snapshot a source sends empty lines.
        if line.is_empty() { self.receive(order, input) } else { self.answer(order, line) }
    }

    fn answer(&mut self, order: &Order, line: &[u8]) -> Step {
        let refused = |what: &str| {
            let line = String::from_utf8_lossy(&line[..line.len().min(MAX_LINE)]).into_owned();
            Step::Failed(format!("Error reply to {what} from the source: {line}"))
        };
        match self.state {
            State::AuthReply if line != b"+OK" => refused("AUTH"),
            State::AuthReply if self.channel == Channel::Snapshot => {
                self.state = State::RdbChannelReply;
                Step::Send(request(&["CLUSTER", "SYNCSLOTS", "RDBCHANNEL", &order.task]))
            }
            State::AuthReply => {
                self.state = State::HandshakeReply;
                Step::Send(request(&["CLUSTER", "SYNCSLOTS", "CONF", "NODE-ID", &order.node.to_string()]))
            }
            State::HandshakeReply if line == b"+OK" => Step::Send(self.repeat(order)),
            State::HandshakeReply => refused("CLUSTER SYNCSLOTS CONF"),
            State::SyncslotsReply if line.starts_with(b"+RDBCHANNELSYNCSLOTS") => {
                self.state = State::InitRdbChannel;
                Step::Over
            }
            State::SyncslotsReply if line.starts_with(b"-NOTREADY") => {
                self.state = State::SendSyncslots;
                Step::NotReady
            }
            State::SyncslotsReply => refused("CLUSTER SYNCSLOTS SYNC"),
            State::RdbChannelReply if line.starts_with(b"+SLOTSSNAPSHOT") => {
                self.state = State::RdbChannelTransfer;
                Step::Over
            }
            State::RdbChannelReply => refused("CLUSTER SYNCSLOTS RDBCHANNEL"),
            _ => Step::Failed("the source node has sent what wasn't asked for".into()),
        }
    }

    /// Asks for the slots, for the first time or again.
    pub fn repeat(&mut self, order: &Order) -> Vec<u8> {
        self.state = State::SyncslotsReply;
        let mut words: Vec<String> = ["CLUSTER", "SYNCSLOTS", "SYNC", &order.task].map(String::from).to_vec();
        for range in order.slots.iter() {
            words.extend([range.start().to_string(), range.end().to_string()]);
        }
        let mut bytes = Vec::new();
        encode_request(&mut bytes, words.iter());
        bytes
    }
}

fn request(words: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_request(&mut bytes, words.iter());
    bytes
}

/// A task as a primary tells its replicas of it, and as files have it (`cluster-asm-task`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskNote {
    pub id: String,
    pub source: NodeId,
    pub target: NodeId,
    pub is_import: bool,
    /// In Redis's words.
    pub state: State,
    pub slots: SlotRanges,
}

impl TaskNote {
    /// Of [`Self::to_string`]: `id:source:target:operation:state:slots`, and perhaps more.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = text.split(|byte| *byte == b':');
        let mut next = || parts.next();
        let id = String::from_utf8(next()?.to_vec()).ok().filter(|id| !id.is_empty())?;
        let (source, target) = (NodeId::parse(next()?)?, NodeId::parse(next()?)?);
        let is_import = match next()? {
            word if word.eq_ignore_ascii_case(b"import") => true,
            word if word.eq_ignore_ascii_case(b"migrate") => false,
            _ => return None,
        };
        let state = State::parse(next()?, super::Family::Redis).unwrap_or(State::None);
        let slots = SlotRanges::parse(next()?)?;
        Some(TaskNote { id, source, target, is_import, state, slots })
    }
}

impl std::fmt::Display for TaskNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let operation = if self.is_import { "import" } else { "migrate" };
        let state = self.state.name(super::Family::Redis);
        write!(f, "{}:{}:{}:{operation}:{state}:{}", self.id, self.source, self.target, self.slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(digit: u8) -> NodeId {
        NodeId([digit; 40])
    }

    fn order() -> Order {
        let slots = SlotRanges::normalized(vec![(0, 5), (7, 7)]).expect("valid");
        Order { secret: node(b'5'), node: node(b'a'), task: "t".repeat(40), slots }
    }

    /// What the bytes lead to: all steps, until there are no more bytes.
    fn feed(handshake: &mut Handshake, mut input: &[u8]) -> Vec<Step> {
        let mut steps = Vec::new();
        loop {
            let step = handshake.receive(&order(), &mut input);
            let over = step == Step::Over;
            if step != Step::Wait {
                steps.push(step);
            }
            if input.is_empty() || over {
                assert!(input.is_empty() || input == b"*1\r\n", "{input:?}");
                return steps;
            }
        }
    }

    fn sent(step: &Step) -> String {
        let Step::Send(bytes) = step else { panic!("{step:?}") };
        let text = String::from_utf8(bytes.clone()).expect("text");
        let words = text.split("\r\n").filter(|word| !word.starts_with(['*', '$']) && !word.is_empty());
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_main_channel_asks_for_the_slots() {
        let mut handshake = Handshake::new(Channel::Main);
        let auth = handshake.connected(&order());
        assert!(auth.ends_with(format!("internal connection\r\n$40\r\n{}\r\n", node(b'5')).as_bytes()));
        assert!(feed(&mut handshake, b"+O").is_empty());
        let steps = feed(&mut handshake, b"K\r\n");
        assert_eq!(sent(&steps[0]), format!("CLUSTER SYNCSLOTS CONF NODE-ID {}", node(b'a')));
        let steps = feed(&mut handshake, b"+OK\r\n");
        let sync = format!("CLUSTER SYNCSLOTS SYNC {} 0 5 7 7", "t".repeat(40));
        assert_eq!((sent(&steps[0]), handshake.state()), (sync.clone(), State::SyncslotsReply));
        assert_eq!(feed(&mut handshake, b"-NOTREADY later\r\n"), [Step::NotReady]);
        assert_eq!(handshake.state(), State::SendSyncslots);
        assert_eq!(sent(&Step::Send(handshake.repeat(&order()))), sync);
        assert_eq!(feed(&mut handshake, b"+RDBCHANNELSYNCSLOTS\r\n*1\r\n"), [Step::Over]);
        assert_eq!(handshake.state(), State::InitRdbChannel);
    }

    #[test]
    fn the_snapshots_channel_waits_for_it() {
        let mut handshake = Handshake::new(Channel::Snapshot);
        handshake.connected(&order());
        let steps = feed(&mut handshake, b"+OK\r\n");
        assert_eq!(sent(&steps[0]), format!("CLUSTER SYNCSLOTS RDBCHANNEL {}", "t".repeat(40)));
        assert!(feed(&mut handshake, b"\n\n").is_empty());
        assert_eq!(feed(&mut handshake, b"\n+SLOTSSNAPSHOT\r\n*1\r\n"), [Step::Over]);
        assert_eq!(handshake.state(), State::RdbChannelTransfer);
    }

    #[test]
    fn each_refusal_says_what_was_refused() {
        let main: [(&[&[u8]], &str); 4] = [
            (&[b"-WRONGPASS no\r\n"], "AUTH"),
            (&[b"+OK\r\n", b"-ERR who\r\n"], "CLUSTER SYNCSLOTS CONF"),
            (&[b"+OK\r\n", b"+OK\r\n", b"-ERR busy\r\n"], "CLUSTER SYNCSLOTS SYNC"),
            (&[b"+OK\r\n", b"+OK\r\n", b"+WHAT\r\n"], "CLUSTER SYNCSLOTS SYNC"),
        ];
        let snapshot: [(&[&[u8]], &str); 2] =
            [(&[b"-ERR\r\n"], "AUTH"), (&[b"+OK\r\n", b"-ERR none\r\n"], "CLUSTER SYNCSLOTS RDBCHANNEL")];
        let cases = main.iter().map(|case| (Channel::Main, case));
        for (channel, (replies, what)) in cases.chain(snapshot.iter().map(|case| (Channel::Snapshot, case))) {
            let mut handshake = Handshake::new(channel);
            handshake.connected(&order());
            let steps: Vec<Step> = replies.iter().flat_map(|reply| feed(&mut handshake, reply)).collect();
            let last = String::from_utf8_lossy(replies[replies.len() - 1].trim_ascii_end());
            let text = format!("Error reply to {what} from the source: {last}");
            assert_eq!(steps.last(), Some(&Step::Failed(text)));
        }
        let mut handshake = Handshake::new(Channel::Main);
        handshake.connected(&order());
        assert!(matches!(feed(&mut handshake, &[b'x'; 2000])[..], [Step::Failed(_)]));
    }

    #[test]
    fn words_have_their_places() {
        use State::{CleaningUp, FailoverGranted, FailoverRequested, ReceivingSnapshot};
        use State::{WaitingForAck, WaitingForPaused};
        let words = [Word::Ack, Word::SnapshotEof, Word::Paused, Word::FailoverGranted];
        let path = [WaitingForAck, ReceivingSnapshot, WaitingForPaused, FailoverRequested, FailoverGranted];
        for (at, state) in path.iter().enumerate() {
            for (number, word) in words.iter().enumerate() {
                let next = advance(*state, *word).map(|advance| advance.state);
                let expected = match (number == at, *word) {
                    (true, _) => Some(path[at + 1]),
                    (false, Word::Ack) => Some(*state),
                    (false, _) => None,
                };
                assert_eq!(next, expected, "{state:?} {word:?}");
            }
        }
        let answer = |state, word| advance(state, word).and_then(|advance| advance.answer);
        assert_eq!(answer(ReceivingSnapshot, Word::SnapshotEof), Some("REQUEST-PAUSE"));
        assert_eq!(answer(WaitingForPaused, Word::Paused), Some("REQUEST-FAILOVER"));
        assert!(!sends_acks(WaitingForAck) && sends_acks(ReceivingSnapshot) && !sends_acks(CleaningUp));
    }

    #[test]
    fn a_task_is_told_in_one_text() {
        let text = format!(
            "{}:{}:{}:import:accumulate-buffer:0-100 200-200",
            "a".repeat(40),
            node(b'1'),
            node(b'2')
        );
        let note = TaskNote::parse(text.as_bytes()).expect("valid");
        assert_eq!(
            (note.to_string(), note.state, note.is_import),
            (text.clone(), State::AccumulateBuffer, true)
        );
        assert_eq!(TaskNote::parse(format!("{text}:more").as_bytes()), Some(note));
        for bad in ["", "a:b", &text.replace("import", "export"), &text.replace("0-100", "x")] {
            assert_eq!(TaskNote::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
