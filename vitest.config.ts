import { defineConfig } from 'vitest/config';

/** Unit and simulation tests: no root, no sleep, no network beyond loopback. End-to-end tests (test/e2e) run under tap. */
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/e2e/**', 'dist/**', 'node_modules/**'],
    testTimeout: 20_000,
    // One process for many files, not one each: half of the cores' time went into loading the same modules again. Modules of src
    // keep no state that a test could leave to the next, and a file that replaces something puts it back.
    isolate: false,
    // All cores: vitest leaves one free by itself, which of two is half.
    maxWorkers: '100%',
  },
});
