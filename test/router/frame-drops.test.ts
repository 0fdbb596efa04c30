import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DROP_REASONS, DropCounts } from '../../src/router/frame-drops.ts';

describe('drop reasons', () => {
  it('are all explained in docs/drops.md, and no others', () => {
    const whole = readFileSync(new URL('../../docs/drops.md', import.meta.url), 'utf8');
    const text = whole.split('\n## Questions of peers\n')[0]!; // which no frames are
    const explained = [...text.matchAll(/^\| `([a-z0-9-]+)` \|/gm)].map((match) => match[1]);
    expect(explained.sort()).toEqual([...DROP_REASONS].sort());
  });

  it('are counted, and never listed with zero', () => {
    const counts = new DropCounts();
    counts.count('replayed');
    counts.count('replayed', 2);
    counts.count('too-old', 0);
    expect(counts.snapshot()).toEqual({ replayed: 3 });
  });
});
