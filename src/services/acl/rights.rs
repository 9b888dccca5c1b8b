//! The rights of a user or a role: selectors, of which one must allow all of a request.

use super::rule::{RuleContext, RuleError};
use super::selector::Selector;
use super::selector_draft::SelectorDraft;

/// The selector that rules outside parentheses make, and those in parentheses.
#[derive(Clone, Debug)]
pub struct Rights {
    root: Selector,
    further: Box<[Selector]>,
}

impl Rights {
    /// The selectors, the root first.
    #[inline]
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.further)
    }

    /// The selector that rules outside parentheses make.
    pub fn root(&self) -> &Selector {
        &self.root
    }

    /// Selectors in parentheses.
    pub fn further(&self) -> &[Selector] {
        &self.further
    }

    /// The rules, a word each; that of a selector in parentheses is one word.
    pub(super) fn describe(&self) -> impl Iterator<Item = Vec<u8>> {
        let further =
            self.further.iter().map(|selector| [b"(", selector.describe().as_slice(), b")"].concat());
        std::iter::once(self.root.describe()).chain(further)
    }
}

/// Rights while rules are applied to them.
#[derive(Debug)]
pub(super) struct RightsDraft {
    root: SelectorDraft,
    further: Vec<Selector>,
}

impl RightsDraft {
    /// None, but what `acl-pubsub-default` gives.
    pub(super) fn new(context: &RuleContext<'_>) -> Self {
        RightsDraft { root: SelectorDraft::new(context.all_channels), further: Vec::new() }
    }

    pub(super) fn of(rights: &Rights) -> Self {
        RightsDraft { root: SelectorDraft::of(&rights.root), further: rights.further.to_vec() }
    }

    pub(super) fn finish(self) -> Rights {
        Rights { root: self.root.finish(), further: self.further.into() }
    }

    /// Applies one rule; that of a selector is one with all its words.
    pub(super) fn apply(&mut self, rule: &[u8], context: &RuleContext<'_>) -> Result<(), RuleError> {
        match rule {
            [] => {}
            [b'(', words @ .., b')'] => {
                let mut selector = SelectorDraft::new(context.all_channels);
                for word in words.split(|byte| *byte == b' ').filter(|word| !word.is_empty()) {
                    selector.apply(word, context.catalog)?;
                }
                self.further.push(selector.finish());
            }
            _ if rule.eq_ignore_ascii_case(b"clearselectors") => self.further.clear(),
            _ => return self.root.apply(rule, context.catalog),
        }
        Ok(())
    }
}
