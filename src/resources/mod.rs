//! One file a resource kind: find, create, delete, and what its errors mean. SDK types end here.
