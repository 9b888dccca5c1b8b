//! Command arguments in one line of text, and the tree that COMMAND DOCS makes of it.
//!
//! ```text
//! item     = value | token | oneof | block | '[' item ']'        optional
//! value    = name ':' type ['@' key-spec-index]                  type: key string integer double pattern unix-time
//! token    = UPPER ['!' name]                                    a pure token; its name is the lower-cased word
//! oneof    = '<' name ':' item '|' item … '>'
//! block    = '(' name ':' item item … ')'
//! prefix   = UPPER '=' before a value, oneof or block: the token that introduces it
//! suffix   = '...' (may repeat) | '*...' (repeats with its token) | '~' version (since)
//!
//! key:key value:string [<condition: NX|XX|IFEQ=comparison-value:string~8.4.0>] [GET~6.2.0]
//!     [<expiration: EX=seconds:integer|PX=milliseconds:integer|KEEPTTL~6.0.0>]
//! ```
