use super::*;
use std::string::String;
