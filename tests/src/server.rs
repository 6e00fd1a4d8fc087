//! A real server on a free port, a client that sends exactly the octets it is told to, and a look at what was stored.
