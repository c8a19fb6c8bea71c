//! pe-isa
