// The library for require(): the same module object that import gives, so that there is one of everything.
"use strict";
module.exports = require("../dist/src/index.js");
