// ripstop/testing for require(): the same module object that import gives.
"use strict";
module.exports = require("../dist/src/testing/index.js");
