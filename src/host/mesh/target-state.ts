// How it stands with a host that an operator named (`--join`, `connect`). Apart from the dialler, because `fabric status` and the map
// in the browser speak of it, too, and load nothing of the mesh.

export type TargetState = 'waiting' | 'dialling' | 'linked' | 'self';
