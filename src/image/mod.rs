//! The AMI: recipe, bake, report.
