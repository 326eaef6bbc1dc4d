// The types of the library for require().
export * from "../dist/src/index.js";
