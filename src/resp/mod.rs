//! The wire: request parser, reply writer, wire errors.
