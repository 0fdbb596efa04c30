import { afterEach, describe, expect, test, vi } from 'vitest';
import { Violation } from '../sim-cluster.ts';
import { MUTANTS } from './mutants.ts';
import * as stories from './stories.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

describe('the checks catch broken variants of the voting', () => {
  test.each(MUTANTS)('$name', { timeout: 60_000 }, ({ story, break: breakRule }) => {
    breakRule();
    expect(story).toThrow(Violation);
  });
});

describe('with the product as it is nothing happens', () => {
  test.each(Object.entries(stories))('%s', (_name, story) => {
    story();
  });
});
