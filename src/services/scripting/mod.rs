//! Scripts.

pub mod arguments;
pub mod bit;
pub mod cjson;
pub mod cmsgpack;
pub mod lua_struct;
