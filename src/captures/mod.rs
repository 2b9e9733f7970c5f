//! Ready-made captures.
