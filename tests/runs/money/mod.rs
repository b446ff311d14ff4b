//! What is spent, what may be spent, and what is said of it.

mod audited_budget;
mod budget;
mod ended_again;
mod judged;
mod prices;
mod profiled_again;
mod purse;
mod recorded_comparisons;
mod recorded_first;
mod scratch;
mod silent;
mod thrift;
mod unbilled;
