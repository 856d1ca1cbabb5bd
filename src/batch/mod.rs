//! From files to results: submit, launch, results, statistics, bill, status.
