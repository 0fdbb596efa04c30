import { expect, test } from 'vitest';
import { FabricError } from '../../src/base/errors.ts';
import { StoreGuard } from '../../src/daemon/store-guard.ts';
import { RecordingLog } from '../fakes/recording-log.ts';

test('a full disk is logged and counted, a bug passes', () => {
  const guard = new StoreGuard(new RecordingLog());
  guard.run(() => undefined);
  expect(guard.failures).toBe(0);
  guard.run(() => {
    throw new FabricError('limit', { what: 'the disk is full' });
  });
  expect(guard.failures).toBe(1);
  const bug = () =>
    guard.run(() => {
      throw new Error('bug');
    });
  expect(bug).toThrow('bug');
});
