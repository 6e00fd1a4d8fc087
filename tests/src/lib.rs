//! What the tests that cross the crates share: a server to talk to, a server that follows a script, and the real
//! programs as processes.

pub mod server;
pub mod scripted_server;
pub mod processes;
