//! Placeholder until the first level lands.
