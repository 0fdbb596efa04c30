// Where the table of a run goes in the README.

import { describe, expect, it } from 'vitest';
import { withTable } from '../../bench/record.ts';

const RUN = { table: 'new', startedAt: '2026-11-21T10:00:00.000Z' };

describe('the table of the last run', () => {
  it('replaces the one before and nothing else', () => {
    const once = withTable('above\n<!-- last run: begin -->\nold\n<!-- last run: end -->\nbelow\n', RUN);
    expect(once).toContain('`npm run bench` of 2026-11-21:\n\n```\nnew\n```\n');
    expect(once).not.toContain('old');
    expect(
      once.startsWith('above\n<!-- last run: begin -->\n') && once.endsWith('<!-- last run: end -->\nbelow\n'),
    ).toBe(true);
    expect(withTable(once, RUN)).toBe(once);
  });

  const wrong: [story: string, readme: string][] = [
    ['no place', 'text'],
    ['a place without an end', '<!-- last run: begin -->'],
    ['two places', '<!-- last run: begin --><!-- last run: end -->'.repeat(2)],
  ];
  it.each(wrong)('is not written where there is %s', (_story, readme) => {
    expect(() => withTable(readme, RUN)).toThrow('one place');
  });
});
