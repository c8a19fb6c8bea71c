//! Is every rule of the timing contract kept to the cycle? Small wafers whose cycles were worked
//! out by hand, run on every runner (see `harness::runners`).

mod account_rules;
mod costs;
mod data_rules;
mod end_rules;
mod fabric_rules;
mod harness;
mod host_rules;
mod latencies;
mod pe_rules;
