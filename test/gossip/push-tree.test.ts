import { expect, test } from 'vitest';
import type { PeerId } from '../../src/base/ids.ts';
import { PushTree } from '../../src/gossip/push-tree.ts';

const [A, B, C, X, Y] = ['a', 'b', 'c', 'x', 'y'] as unknown as [PeerId, PeerId, PeerId, PeerId, PeerId];
const links = [A, B, C, X];

test('a change goes to everybody who has not pruned, never back, and is announced to the others', () => {
  const tree = new PushTree(10);
  expect(tree.forward(X, A, links)).toEqual({ eager: [B, C], lazy: [], isTree: false });
  tree.prune(X, B);
  expect(tree.forward(X, A, links)).toEqual({ eager: [C], lazy: [B], isTree: true });
  expect(tree.forward(X, B, links)).toEqual({ eager: [A, C], lazy: [], isTree: true });
  expect(tree.forward(Y, A, links)).toEqual({ eager: [B, C, X], lazy: [], isTree: false });
});

test('a graft, a lost link and a forgotten author end the prune', () => {
  const tree = new PushTree(10);
  for (const peer of [A, B, C]) tree.prune(Y, peer);
  tree.graft(Y, A);
  tree.linkDown(B);
  expect(tree.forward(Y, X, links)).toEqual({ eager: [A, B], lazy: [C], isTree: true });
  tree.forget(Y);
  expect(tree.forward(Y, X, links).lazy).toEqual([]);
});

test('the tree whose last prune is the oldest is forgotten when there are too many', () => {
  const tree = new PushTree(2);
  tree.prune(X, A);
  tree.prune(Y, A);
  tree.prune(X, B);
  tree.prune(C, A);
  expect(tree.forward(Y, B, links).lazy).toEqual([]);
  expect(tree.forward(X, C, links).lazy).toEqual([A, B]);
});

test('whoever brought the latest change pushes the next one, whatever overtook it', () => {
  const tree = new PushTree(10);
  expect(tree.pushed(X, A, { isNews: true })).toBeNull();
  expect(tree.pushed(X, B, { isNews: false })).toBe('prune');
  expect(tree.pushed(X, B, { isNews: true })).toBe('graft'); // left before B heard that
  expect(tree.pushed(X, A, { isNews: false })).toBe('prune');
  expect(tree.pushed(X, B, { isNews: false })).toBeNull();
  expect(tree.linkDown(B)).toEqual([{ author: X, next: A }]);
  expect(tree.pushed(X, C, { isNews: true })).toBeNull();
});

test('the author itself is never pruned, nor is anyone grafted beside its own link', () => {
  const tree = new PushTree(10);
  expect(tree.pushed(X, A, { isNews: true })).toBeNull();
  expect(tree.pushed(X, X, { isNews: false })).toBeNull();
  expect(tree.pushed(X, A, { isNews: false })).toBe('prune');
  expect(tree.pushed(X, A, { isNews: true })).toBeNull();
  expect(tree.linkDown(X)).toEqual([{ author: X, next: A }]);
  expect(tree.linkDown(C)).toEqual([]);
});
