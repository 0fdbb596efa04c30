import { defineConfig } from 'vitest/config';

/** Unit and simulation tests: no root, no sleep, no network beyond loopback. End-to-end tests (test/e2e) run under tap. */
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/e2e/**', 'dist/**', 'node_modules/**'],
    testTimeout: 20_000,
    // All cores: vitest leaves one free by itself, which of two is half.
    maxWorkers: '100%',
  },
});
