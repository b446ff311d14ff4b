//! The published algorithm (SMART, Jo and Trummer 2024), decision for decision, as a baseline.
