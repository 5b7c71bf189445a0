/**
 * The metadata database, one step per version: `user_version` says how many of these have run. A step that was
 * released is never edited; a change is a new one.
 *
 * Times are milliseconds since 1970. A *node* names a thing that can be kept: a blob by its digest, a layer as
 * `layer/<diff id>`, a snapshot as `snapshot/<id>`, a cache record as `cache/<key>` (see graph.ts).
 */
export const migrations: readonly string[] = [
  `
  -- What a tag or digest can lead to: a manifest or an index. image_id is the digest of the (preferred) image config.
  CREATE TABLE images (
    digest TEXT PRIMARY KEY,
    media_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    image_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX images_by_image_id ON images (image_id);

  -- Names of images: normalised references with a tag or a digest.
  CREATE TABLE tags (
    name TEXT PRIMARY KEY,
    digest TEXT NOT NULL REFERENCES images (digest),
    tagged_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX tags_by_digest ON tags (digest);

  -- The blobs that unpack to one layer.
  CREATE TABLE layers (
    diff_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    compression TEXT NOT NULL,
    size INTEGER NOT NULL,
    unpacked_size INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (diff_id, digest)
  ) WITHOUT ROWID;
  CREATE INDEX layers_by_digest ON layers (digest);

  -- Directories under snapshots/. One that is 'preparing' belongs to a session and goes with it.
  CREATE TABLE snapshots (
    id TEXT PRIMARY KEY,
    diff_id TEXT,
    state TEXT NOT NULL,
    size INTEGER NOT NULL,
    session TEXT,
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX snapshots_by_diff_id ON snapshots (diff_id);
  CREATE INDEX snapshots_by_session ON snapshots (session) WHERE session IS NOT NULL;

  -- parent keeps child.
  CREATE TABLE links (
    parent TEXT NOT NULL,
    child TEXT NOT NULL,
    PRIMARY KEY (parent, child)
  ) WITHOUT ROWID;
  CREATE INDEX links_by_child ON links (child);

  -- Nodes that something outside these tables needs: owner is for example 'container/<id>'.
  CREATE TABLE pins (
    owner TEXT NOT NULL,
    node TEXT NOT NULL,
    PRIMARY KEY (owner, node)
  ) WITHOUT ROWID;

  -- What a running process needs. Gone with its session.
  CREATE TABLE leases (
    id TEXT PRIMARY KEY,
    session TEXT NOT NULL,
    created_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE lease_nodes (
    lease TEXT NOT NULL REFERENCES leases (id) ON DELETE CASCADE,
    node TEXT NOT NULL,
    PRIMARY KEY (lease, node)
  ) WITHOUT ROWID;

  -- Results of build steps by cache key.
  CREATE TABLE cache_records (
    key TEXT PRIMARY KEY,
    result TEXT NOT NULL,
    inputs TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL
  );
  CREATE INDEX cache_records_by_used_at ON cache_records (used_at);

  -- The keys that one step of one Dockerfile had, newest last: what a cache miss is explained with.
  CREATE TABLE build_steps (
    step_id TEXT NOT NULL,
    key TEXT NOT NULL,
    inputs TEXT NOT NULL,
    created_at INTEGER NOT NULL
  );
  CREATE INDEX build_steps_by_step_id ON build_steps (step_id, created_at);
  `,
  `
  -- Containers, running or not. session is that of the process which a running one belongs to: when that is dead the
  -- container is too. snapshot names its writable directory. settings is JSON.
  CREATE TABLE containers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    image_id TEXT NOT NULL,
    snapshot TEXT NOT NULL,
    state TEXT NOT NULL,
    session TEXT,
    auto_remove INTEGER NOT NULL,
    settings TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    exit_code INTEGER,
    error TEXT
  ) WITHOUT ROWID;
  CREATE INDEX containers_by_image_id ON containers (image_id);
  CREATE INDEX containers_by_session ON containers (session) WHERE session IS NOT NULL;

  -- Directories under volumes/. labels is JSON.
  CREATE TABLE volumes (
    name TEXT PRIMARY KEY,
    anonymous INTEGER NOT NULL,
    labels TEXT NOT NULL,
    created_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE container_volumes (
    container TEXT NOT NULL REFERENCES containers (id) ON DELETE CASCADE,
    volume TEXT NOT NULL REFERENCES volumes (name),
    PRIMARY KEY (container, volume)
  ) WITHOUT ROWID;
  CREATE INDEX container_volumes_by_volume ON container_volumes (volume);
  `,
  `
  -- Files that were fetched over HTTP, by the digest of their URL (a URL may hold a credential), so that the server is
  -- only asked whether they changed. A record keeps its blob. last_modified is seconds since 1970.
  CREATE TABLE fetched_files (
    url TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    etag TEXT,
    modified TEXT,
    last_modified INTEGER,
    used_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  `,
  `
  -- What lists tell of the image manifests in the store; platform, labels and diff_ids are JSON. platform is null for
  -- what is no image. diff_ids comes last: it is long, and most lists do without it.
  CREATE TABLE manifests (
    digest TEXT PRIMARY KEY,
    image_id TEXT NOT NULL,
    platform TEXT,
    created TEXT,
    labels TEXT NOT NULL,
    content_size INTEGER NOT NULL,
    unpacked_size INTEGER NOT NULL,
    diff_ids TEXT NOT NULL
  );

  -- Garbage collection asks who needs a node.
  CREATE INDEX pins_by_node ON pins (node);
  CREATE INDEX lease_nodes_by_node ON lease_nodes (node);
  CREATE INDEX fetched_files_by_digest ON fetched_files (digest);
  `,
  `
  -- Containers keep their whole configuration under docker's names.
  UPDATE containers SET settings = json_remove(
    json_set(settings, '$.config', json_object(
      'Cmd', json_extract(settings, '$.args'), 'Env', json_extract(settings, '$.env'),
      'WorkingDir', json_extract(settings, '$.workingDirectory'), 'User', json_extract(settings, '$.user'),
      'StopSignal', json_extract(settings, '$.stopSignal'), 'Labels', json_extract(settings, '$.labels'))),
    '$.args', '$.env', '$.workingDirectory', '$.user', '$.stopSignal', '$.labels')
  WHERE json_type(settings, '$.args') IS NOT NULL;
  `,
  `
  -- What happened, oldest first: what 'events' tells. time is in microseconds since 1970, attributes is JSON.
  CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    type TEXT NOT NULL,
    action TEXT NOT NULL,
    actor TEXT NOT NULL,
    attributes TEXT NOT NULL
  );
  `,
  `
  -- What the registry server keeps, by the name of the repository as it is in URLs. A row of registry_blobs makes a
  -- blob visible in its repository, and keeps it; used_at is when a client last asked for it or pushed it.
  CREATE TABLE registry_repositories (
    name TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE registry_blobs (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
  ) WITHOUT ROWID;
  CREATE INDEX registry_blobs_by_digest ON registry_blobs (digest);
  CREATE TABLE registry_manifests (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    pushed_at INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
  ) WITHOUT ROWID;
  CREATE INDEX registry_manifests_by_digest ON registry_manifests (digest);

  -- The blobs and manifests that a manifest names, whether or not they are there. Its subject is not among them.
  CREATE TABLE registry_references (
    repository TEXT NOT NULL,
    manifest TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (repository, manifest, digest)
  ) WITHOUT ROWID;
  CREATE INDEX registry_references_by_digest ON registry_references (repository, digest);

  -- The manifests that have a subject; descriptor is JSON, as the referrers API gives it.
  CREATE TABLE registry_referrers (
    repository TEXT NOT NULL,
    subject TEXT NOT NULL,
    digest TEXT NOT NULL,
    artifact_type TEXT,
    descriptor TEXT NOT NULL,
    PRIMARY KEY (repository, subject, digest)
  );
  CREATE INDEX registry_referrers_by_digest ON registry_referrers (repository, digest);
  CREATE TABLE registry_tags (
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    digest TEXT NOT NULL,
    tagged_at INTEGER NOT NULL,
    PRIMARY KEY (repository, tag)
  ) WITHOUT ROWID;
  CREATE INDEX registry_tags_by_digest ON registry_tags (repository, digest);

  -- Uploads that have not ended; their bytes so far are in registry/uploads/<id>. owner is who began it, if known.
  CREATE TABLE registry_uploads (
    id TEXT PRIMARY KEY,
    repository TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    owner TEXT,
    used_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  `,
  `
  -- Nodes that have lost what kept them and may be garbage: what a collection looks at. They are found again however the
  -- process ends that was to remove them.
  CREATE TABLE garbage (node TEXT PRIMARY KEY) WITHOUT ROWID;
  CREATE TRIGGER garbage_of_images AFTER DELETE ON images
    BEGIN INSERT OR IGNORE INTO garbage VALUES (old.digest); END;
  CREATE TRIGGER garbage_of_links AFTER DELETE ON links
    BEGIN INSERT OR IGNORE INTO garbage VALUES (old.child); END;
  CREATE TRIGGER garbage_of_pins AFTER DELETE ON pins
    BEGIN INSERT OR IGNORE INTO garbage VALUES (old.node); END;
  CREATE TRIGGER garbage_of_fetched_files AFTER DELETE ON fetched_files
    BEGIN INSERT OR IGNORE INTO garbage VALUES (old.digest); END;
  `,
  `
  -- Containers that go on without the process that started them. run and restart are JSON: the processes of the last
  -- run, and what is known about starting it again.
  ALTER TABLE containers ADD COLUMN run TEXT;
  ALTER TABLE containers ADD COLUMN restart TEXT;
  ALTER TABLE containers ADD COLUMN oom_killed INTEGER NOT NULL DEFAULT 0;
  `,
  `
  -- What a layer becomes when it is compressed for a registry, which is not kept: settings is all that decides it.
  CREATE TABLE compressed_layers (
    diff_id TEXT NOT NULL,
    settings TEXT NOT NULL,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    PRIMARY KEY (diff_id, settings)
  ) WITHOUT ROWID;

  -- Repositories of other registries that blobs were seen in: where they can be mounted from.
  CREATE TABLE blob_sources (
    digest TEXT NOT NULL,
    host TEXT NOT NULL,
    repository TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (digest, host, repository)
  ) WITHOUT ROWID;

  -- Uploads to registries that have not ended: blob is a digest, or a layer with how it is compressed.
  CREATE TABLE remote_uploads (
    host TEXT NOT NULL,
    repository TEXT NOT NULL,
    blob TEXT NOT NULL,
    location TEXT NOT NULL,
    began_at INTEGER NOT NULL,
    PRIMARY KEY (host, repository, blob)
  ) WITHOUT ROWID;
  `,
  `
  -- Networks; settings is JSON. Containers that run are attached by endpoints, and have ports of the host. scope is the
  -- network namespace they are to be reached from. data is JSON.
  CREATE TABLE networks (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    driver TEXT NOT NULL,
    settings TEXT NOT NULL,
    created_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE endpoints (
    container TEXT NOT NULL REFERENCES containers (id) ON DELETE CASCADE,
    network TEXT NOT NULL REFERENCES networks (id),
    scope TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (container, network)
  ) WITHOUT ROWID;
  CREATE INDEX endpoints_by_network ON endpoints (network);
  CREATE TABLE published_ports (
    container TEXT NOT NULL REFERENCES containers (id) ON DELETE CASCADE,
    scope TEXT NOT NULL,
    protocol TEXT NOT NULL,
    host_address TEXT NOT NULL,
    host_port INTEGER NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (scope, protocol, host_port, host_address)
  ) WITHOUT ROWID;
  CREATE INDEX published_ports_by_container ON published_ports (container);
  -- Processes that take connections at ports of the host for containers.
  CREATE TABLE port_forwarders (
    container TEXT PRIMARY KEY,
    scope TEXT NOT NULL,
    pid INTEGER NOT NULL,
    start_time INTEGER NOT NULL
  ) WITHOUT ROWID;
  -- What the kernel was told of a scope's networks is up to date where applied is wanted.
  CREATE TABLE network_scopes (
    scope TEXT PRIMARY KEY,
    wanted INTEGER NOT NULL,
    applied INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TRIGGER endpoints_added AFTER INSERT ON endpoints
    BEGIN INSERT INTO network_scopes VALUES (new.scope, 1, 0) ON CONFLICT DO UPDATE SET wanted = wanted + 1; END;
  CREATE TRIGGER endpoints_changed AFTER UPDATE ON endpoints
    BEGIN INSERT INTO network_scopes VALUES (new.scope, 1, 0) ON CONFLICT DO UPDATE SET wanted = wanted + 1; END;
  CREATE TRIGGER endpoints_removed AFTER DELETE ON endpoints
    BEGIN INSERT INTO network_scopes VALUES (old.scope, 1, 0) ON CONFLICT DO UPDATE SET wanted = wanted + 1; END;
  CREATE TRIGGER ports_added AFTER INSERT ON published_ports
    BEGIN INSERT INTO network_scopes VALUES (new.scope, 1, 0) ON CONFLICT DO UPDATE SET wanted = wanted + 1; END;
  CREATE TRIGGER ports_removed AFTER DELETE ON published_ports
    BEGIN INSERT INTO network_scopes VALUES (old.scope, 1, 0) ON CONFLICT DO UPDATE SET wanted = wanted + 1; END;
  -- Addresses and ports are free from the moment at which a container's end is recorded, by whatever command.
  CREATE TRIGGER networks_of_ended AFTER UPDATE OF state ON containers WHEN new.state NOT IN ('running', 'paused')
    BEGIN
      DELETE FROM endpoints WHERE container = new.id;
      DELETE FROM published_ports WHERE container = new.id;
    END;
  `,
  `
  -- JSON: what the descriptor of a compressed layer is annotated with, where its table of contents is.
  ALTER TABLE compressed_layers ADD COLUMN annotations TEXT;
  `,
  `
  -- Unpacked layers that are not known to be on the disk, and in which run of the machine they were made.
  CREATE TABLE unsynced_snapshots (
    id TEXT PRIMARY KEY REFERENCES snapshots (id) ON DELETE CASCADE,
    boot TEXT NOT NULL
  ) WITHOUT ROWID;
  `,
  `
  -- What lists of images show, without the long lists of layers beside it.
  CREATE INDEX manifest_facts
    ON manifests (digest, image_id, platform, created, labels, content_size, unpacked_size);
  `,
  `
  -- The rules that the kernel has of a scope's networks; digest is empty where it has none. firewalls are the programs that
  -- told other tables too. No row where that is not known.
  CREATE TABLE network_rules (
    scope TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    firewalls TEXT NOT NULL,
    loaded_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  -- A network that stays for a while after its last container, for the next one, and the process that takes it away then.
  CREATE TABLE lingering_networks (
    scope TEXT PRIMARY KEY,
    network TEXT NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
    until INTEGER NOT NULL,
    pid INTEGER,
    start_time INTEGER
  ) WITHOUT ROWID;
  `,
  `
  -- Blobs without a file of their own: put together of pieces of others, which links keep. extents is JSON: the digests of
  -- those, then the number of one of them, the first byte and the one after the last for each piece. own_size is the bytes
  -- that are there for this blob alone.
  CREATE TABLE composed_blobs (
    digest TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    own_size INTEGER NOT NULL,
    extents TEXT NOT NULL
  );
  `,
  `
  -- Unpacked layers that have files in common, each of which is one file with several names. The group is stale where one
  -- is gone: then the sizes of the others are to be found anew.
  CREATE TABLE linked_snapshots (
    id TEXT PRIMARY KEY REFERENCES snapshots (id) ON DELETE CASCADE,
    group_name TEXT NOT NULL,
    is_stale INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX linked_snapshots_by_group ON linked_snapshots (group_name);
  CREATE TRIGGER linked_snapshots_gone AFTER DELETE ON linked_snapshots
    BEGIN UPDATE linked_snapshots SET is_stale = 1 WHERE group_name = old.group_name; END;
  `,
]
