//! Rules of users as text: what can be wrong with one, and how several words make a selector.

/// What rules need to know of the commands.
pub trait CommandCatalog {
    /// How many numbers of commands there are.
    fn count(&self) -> usize;

    /// The command of a full name (`get`, `config|get`) in any case, as it is named before any renaming.
    fn find(&self, name: &[u8]) -> Option<CatalogEntry<'_>>;

    /// The bit of a category of this name, in any case.
    fn category(&self, name: &[u8]) -> Option<u64>;

    /// Names the number of each command and subcommand of a category.
    fn each_in_category(&self, category: u64, each: &mut dyn FnMut(u16));

    /// Names the numbers of a command's subcommands.
    fn each_subcommand(&self, command: u16, each: &mut dyn FnMut(u16));
}

/// A command as rules see it.
pub struct CatalogEntry<'a> {
    pub id: u16,
    /// Lower case, with the container's name before a subcommand's.
    pub name: &'a str,
    pub is_subcommand: bool,
    pub has_subcommands: bool,
}

/// What rules depend on beside the user or role.
#[derive(Clone, Copy)]
pub struct RuleContext<'a> {
    pub catalog: &'a dyn CommandCatalog,
    /// `acl-pubsub-default` is `allchannels`.
    pub all_channels: bool,
}

/// Why a rule is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    Syntax,
    UnknownCommand,
    FirstArgOfSubcommand,
    KeysAfterAll,
    ChannelsAfterAll,
    DatabaseOutOfRange,
    NoSuchPassword,
    BadHash,
    NoSuchRole,
}

impl RuleError {
    /// As replies and the log name it.
    pub fn message(self) -> &'static str {
        match self {
            RuleError::Syntax => "Syntax error",
            RuleError::UnknownCommand => "Unknown command or category name in ACL",
            RuleError::FirstArgOfSubcommand => "Allowing first-arg of a subcommand is not supported",
            RuleError::KeysAfterAll => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            RuleError::ChannelsAfterAll => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels"
            }
            RuleError::DatabaseOutOfRange => "The provided database ID is out of range",
            RuleError::NoSuchPassword => "The password you are trying to remove from the user does not exist",
            RuleError::NoSuchRole => "The specified role does not exist",
            RuleError::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
        }
    }
}

/// Joins the words of each selector (`(+get`, `~a)`) to one rule; the error is the word that opens one that doesn't end.
pub fn join_selectors<'a>(words: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Vec<u8>>, Vec<u8>> {
    let mut rules = Vec::new();
    let mut open: Option<(Vec<u8>, &[u8])> = None;
    for word in words {
        match open.take() {
            Some((mut selector, first)) => {
                selector.push(b' ');
                selector.extend_from_slice(word);
                if word.ends_with(b")") { rules.push(selector) } else { open = Some((selector, first)) }
            }
            None if word.starts_with(b"(") && !word.ends_with(b")") => open = Some((word.to_vec(), word)),
            None => rules.push(word.to_vec()),
        }
    }
    match open {
        Some((_, first)) => Err(first.to_vec()),
        None => Ok(rules),
    }
}

/// Whether a name or pattern has a byte that would end it in a file or a list.
pub fn has_spaces(text: &[u8]) -> bool {
    text.iter().any(|byte| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0b))
}
