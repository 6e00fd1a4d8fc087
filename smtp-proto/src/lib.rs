//! SMTP as bytes and rules.

pub mod address;
pub mod command;
mod cursor;
pub mod limits;
pub mod parameter;
pub mod xtext;
