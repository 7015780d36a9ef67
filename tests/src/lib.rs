//! sprat-tests
