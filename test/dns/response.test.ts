import { expect, test } from 'vitest';
import { encodeAnswer, type OwnRecord } from '../../src/dns/response.ts';
import { query, seen } from './messages.ts';

test('of thousands of addresses no more are encoded than fit', () => {
  let encoded = 0;
  const records = Array.from({ length: 5000 }, (_, i): OwnRecord => {
    return {
      type: 'A',
      ttlS: 1,
      get data() {
        encoded++;
        return `10.32.${i >> 8}.${i & 255}`;
      },
    };
  });
  const asked = query('web.fabric.internal');
  const answer = encodeAnswer(asked, { rcode: 0, authoritative: true, records, soa: null });
  expect(answer.length).toBeLessThanOrEqual(asked.answerBytesMax);
  expect(seen(answer).truncated).toBe(true);
  expect([seen(answer).answers.length, encoded]).toEqual([encoded - 1, encoded]);
});
