import { expect, test } from 'vitest';
import { InterfaceReaper } from '../../../src/host/linux/interface-reaper.ts';
import { DEPARTED_GROUP } from '../../../src/host/linux/names.ts';
import { NetlinkError } from '../../../src/host/netlink/errors.ts';
import { RecordingLog } from '../../fakes/recording-log.ts';

/** Deletions in the order in which they were asked for; each ends when the test says how. */
class Deletions {
  readonly asked: string[] = [];
  #open: ((errno: string | null) => void)[] = [];

  deleteLinkGroup = (group: number) => this.#ask(group === DEPARTED_GROUP ? 'group' : `wrong group ${group}`);
  deleteLink = (link: string | number) => this.#ask(`link ${link}`);

  /** Ends the oldest one. */
  async end(errno: string | null = null): Promise<void> {
    this.#open.shift()!(errno);
    await new Promise((resolve) => setImmediate(resolve));
  }

  #ask(what: string): Promise<void> {
    this.asked.push(what);
    return new Promise((resolve, reject) => {
      this.#open.push((errno) => (errno === null ? resolve() : reject(new NetlinkError(what, errno))));
    });
  }
}

function setUp() {
  const deletions = new Deletions();
  const log = new RecordingLog();
  const freed: number[] = [];
  const reaper = new InterfaceReaper(deletions, log);
  const free = (index: number) => void reaper.free(index).then(() => freed.push(index));
  return { deletions, log, freed, reaper, free };
}

test('whoever comes while a deletion runs goes with the next one', async () => {
  const { deletions, freed, reaper, free } = setUp();
  free(7);
  free(8);
  free(9);
  expect(deletions.asked).toEqual(['group']);
  await deletions.end();
  expect([deletions.asked, freed]).toEqual([['group', 'group'], [7]]);
  await deletions.end();
  expect(freed).toEqual([7, 8, 9]);
  await reaper.idle();
  expect(deletions.asked).toHaveLength(2);
});

test('a link that is asked for twice is waited for once', async () => {
  const { deletions, freed, free } = setUp();
  free(7);
  free(7);
  await deletions.end();
  expect([deletions.asked, freed]).toEqual([['group'], [7, 7]]);
  free(7);
  expect(deletions.asked).toEqual(['group', 'group']);
});

test('an empty group means that their namespaces took them along', async () => {
  const { deletions, freed, free } = setUp();
  free(7);
  await deletions.end('ENODEV');
  expect([deletions.asked, freed]).toEqual([['group'], [7]]);
});

test('one that can not be deleted is told, and the others go all the same', async () => {
  const { deletions, log, freed, free } = setUp();
  free(6);
  free(7);
  free(8);
  await deletions.end();
  await deletions.end('EOPNOTSUPP');
  await deletions.end('EOPNOTSUPP');
  await deletions.end();
  expect(deletions.asked).toEqual(['group', 'group', 'link 7', 'link 8']);
  expect(freed).toEqual([6, 7, 8]);
  expect(log.lines.map(({ level, fields }) => [level, fields?.index])).toEqual([['error', 7]]);
});
