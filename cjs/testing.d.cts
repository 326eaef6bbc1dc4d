// The types of ripstop/testing for require().
export * from "../dist/src/testing/index.js";
