//! End-to-end tests of the real `dhow` binary; see the files beside `src`.
