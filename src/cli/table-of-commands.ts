import type { CommandTable } from './command.ts'

/** Every command: nothing here is loaded until the one command asked for is. */
export const table: CommandTable = {
  groups: {
    container: { summary: 'Manage containers' },
    image: { summary: 'Manage images' },
    manifest: { summary: 'Manage manifests and manifest lists' },
    system: { summary: 'Manage Cairn' },
    builder: { summary: 'Manage builds' },
    builds: { summary: 'Manage build records' },
    cache: { summary: 'Manage cache mounts' },
    volume: { summary: 'Manage volumes' },
    network: { summary: 'Manage networks' },
    registry: { summary: 'Manage registries' },
    buildx: { summary: 'Manage builds', hidden: true },
  },
  commands: [
    {
      paths: ['build', 'image build', 'builder build', 'buildx build'],
      summary: 'Build an image from a Dockerfile',
      common: true,
      load: () => import('./commands/build.ts'),
    },
    {
      paths: ['run', 'container run'],
      summary: 'Create and run a new container from an image',
      common: true,
      load: () => import('./commands/container-run.ts'),
    },
    {
      paths: ['create', 'container create'],
      summary: 'Create a new container',
      load: () => import('./commands/container-create.ts'),
    },
    {
      paths: ['start', 'container start'],
      summary: 'Start one or more stopped containers',
      load: () => import('./commands/container-start.ts'),
    },
    {
      paths: ['stop', 'container stop'],
      summary: 'Stop one or more running containers',
      load: () => import('./commands/container-stop.ts'),
    },
    {
      paths: ['restart', 'container restart'],
      summary: 'Restart one or more containers',
      load: () => import('./commands/container-restart.ts'),
    },
    {
      paths: ['kill', 'container kill'],
      summary: 'Kill one or more running containers',
      load: () => import('./commands/container-kill.ts'),
    },
    {
      paths: ['pause', 'container pause'],
      summary: 'Pause all processes within one or more containers',
      load: () => import('./commands/container-pause.ts'),
    },
    {
      paths: ['unpause', 'container unpause'],
      summary: 'Unpause all processes within one or more containers',
      load: () => import('./commands/container-unpause.ts'),
    },
    {
      paths: ['wait', 'container wait'],
      summary: 'Block until one or more containers stop, then print their exit codes',
      load: () => import('./commands/container-wait.ts'),
    },
    {
      paths: ['rename', 'container rename'],
      summary: 'Rename a container',
      load: () => import('./commands/container-rename.ts'),
    },
    {
      paths: ['attach', 'container attach'],
      summary: 'Attach local standard input, output, and error streams to a running container',
      load: () => import('./commands/container-attach.ts'),
    },
    {
      paths: ['exec', 'container exec'],
      summary: 'Execute a command in a running container',
      common: true,
      load: () => import('./commands/container-exec.ts'),
    },
    {
      paths: ['port', 'container port'],
      summary: 'List port mappings or a specific mapping for the container',
      load: () => import('./commands/container-port.ts'),
    },
    {
      paths: ['top', 'container top'],
      summary: 'Display the running processes of a container',
      load: () => import('./commands/container-top.ts'),
    },
    {
      paths: ['stats', 'container stats'],
      summary: 'Display a live stream of container(s) resource usage statistics',
      load: () => import('./commands/container-stats.ts'),
    },
    {
      paths: ['container inspect'],
      summary: 'Display detailed information on one or more containers',
      load: () => import('./commands/container-inspect.ts'),
    },
    {
      paths: ['diff', 'container diff'],
      summary: "Inspect changes to files or directories on a container's filesystem",
      load: () => import('./commands/container-diff.ts'),
    },
    {
      paths: ['cp', 'container cp'],
      summary: 'Copy files/folders between a container and the local filesystem',
      load: () => import('./commands/container-cp.ts'),
    },
    {
      paths: ['update', 'container update'],
      summary: 'Update configuration of one or more containers',
      load: () => import('./commands/container-update.ts'),
    },
    {
      paths: ['logs', 'container logs'],
      summary: 'Fetch the logs of a container',
      load: () => import('./commands/container-logs.ts'),
    },
    {
      paths: ['container restore'],
      summary: 'Start containers by their restart policies after the machine has started',
      load: () => import('./commands/container-restore.ts'),
    },
    {
      paths: ['container systemd'],
      summary: 'Print a systemd unit for a container, or for all with a restart policy',
      load: () => import('./commands/container-systemd.ts'),
    },
    {
      paths: ['container cleanup'],
      summary: 'Record the end of a container',
      hidden: true,
      load: () => import('./commands/container-cleanup.ts'),
    },
    {
      paths: ['container health-changed'],
      summary: "Record that a container's health changed",
      hidden: true,
      load: () => import('./commands/container-health-changed.ts'),
    },
    {
      paths: ['container forward'],
      summary: 'Hold the published ports of a container',
      hidden: true,
      load: () => import('./commands/container-forward.ts'),
    },
    {
      paths: ['container revive'],
      summary: 'Start a container by its restart policy',
      hidden: true,
      load: () => import('./commands/container-revive.ts'),
    },
    {
      paths: ['ps', 'container ls', 'container list', 'container ps'],
      summary: 'List containers',
      common: true,
      load: () => import('./commands/container-ls.ts'),
    },
    {
      paths: ['rm', 'container rm', 'container remove'],
      summary: 'Remove one or more containers',
      load: () => import('./commands/container-rm.ts'),
    },
    {
      paths: ['container commit', 'commit'],
      summary: "Create a new image from a container's changes",
      load: () => import('./commands/container-commit.ts'),
    },
    {
      paths: ['container export', 'export'],
      summary: "Export a container's filesystem as a tar archive",
      load: () => import('./commands/container-export.ts'),
    },
    {
      paths: ['container prune'],
      summary: 'Remove all stopped containers',
      load: () => import('./commands/container-prune.ts'),
    },
    {
      paths: ['registry attach'],
      summary: 'Attach files to an image of a registry',
      load: () => import('./commands/registry-attach.ts'),
    },
    {
      paths: ['registry cat'],
      summary: 'Write a manifest, config or blob of a registry',
      load: () => import('./commands/registry-cat.ts'),
    },
    {
      paths: ['registry copy', 'registry cp'],
      summary: 'Copy an image from registry to registry',
      load: () => import('./commands/registry-copy.ts'),
    },
    {
      paths: ['registry delete', 'registry rm'],
      summary: 'Delete tags and manifests of a registry',
      load: () => import('./commands/registry-delete.ts'),
    },
    {
      paths: ['registry digest'],
      summary: 'Print what names in registries lead to',
      load: () => import('./commands/registry-digest.ts'),
    },
    {
      paths: ['registry ls', 'registry list', 'registry catalog'],
      summary: 'List the repositories of a registry',
      load: () => import('./commands/registry-ls.ts'),
    },
    {
      paths: ['registry referrers'],
      summary: 'List what refers to an image of a registry',
      load: () => import('./commands/registry-referrers.ts'),
    },
    {
      paths: ['registry sync'],
      summary: 'Keep images of registries and directories up to date',
      load: () => import('./commands/registry-sync.ts'),
    },
    {
      paths: ['registry tags'],
      summary: 'List the tags of a repository',
      load: () => import('./commands/registry-tags.ts'),
    },
    {
      paths: ['registry serve'],
      summary: 'Serve a registry from the store',
      load: () => import('./commands/registry-serve.ts'),
    },
    {
      paths: ['registry gc'],
      summary: 'Remove what nothing needs from the registry in the store',
      load: () => import('./commands/registry-gc.ts'),
    },
    {
      paths: ['registry token'],
      summary: 'Make an API token for a registry server',
      load: () => import('./commands/registry-token.ts'),
    },
    {
      paths: ['version'],
      summary: 'Show the Cairn version information',
      common: true,
      load: () => import('./commands/version.ts'),
    },
    {
      paths: ['bootstrap'],
      summary: "Make a base image from a distribution's signed packages",
      load: () => import('./commands/bootstrap.ts'),
    },
    {
      paths: ['image ls', 'image list', 'images'],
      summary: 'List images',
      common: true,
      load: () => import('./commands/image-ls.ts'),
    },
    {
      paths: ['image copy'],
      summary: 'Copy an image between the store, OCI layouts, archives and directories',
      load: () => import('./commands/image-copy.ts'),
    },
    {
      paths: ['image files'],
      summary: 'List the files of an image',
      load: () => import('./commands/image-files.ts'),
    },
    {
      paths: ['image cat'],
      summary: 'Print a file of an image',
      load: () => import('./commands/image-cat.ts'),
    },
    {
      paths: ['image extract'],
      summary: 'Take files out of an image',
      load: () => import('./commands/image-extract.ts'),
    },
    {
      paths: ['image diff'],
      summary: 'Show what differs between two images',
      load: () => import('./commands/image-diff.ts'),
    },
    {
      paths: ['image edit'],
      summary: 'Change settings and layers of an image',
      load: () => import('./commands/image-edit.ts'),
    },
    {
      paths: ['image rebase'],
      summary: 'Put an image on another base',
      load: () => import('./commands/image-rebase.ts'),
    },
    {
      paths: ['image flatten'],
      summary: 'Make one layer of all layers of an image',
      load: () => import('./commands/image-flatten.ts'),
    },
    {
      paths: ['image validate'],
      summary: 'Verify every part of images',
      load: () => import('./commands/image-validate.ts'),
    },
    {
      paths: ['image history', 'history'],
      summary: 'Show the history of an image',
      load: () => import('./commands/image-history.ts'),
    },
    {
      paths: ['image provenance', 'provenance'],
      summary: 'Show the provenance that is attached to an image',
      load: () => import('./commands/image-provenance.ts'),
    },
    {
      paths: ['image sign'],
      summary: 'Sign images with a private key',
      load: () => import('./commands/image-sign.ts'),
    },
    {
      paths: ['image verify'],
      summary: 'Check the signatures of images',
      load: () => import('./commands/image-verify.ts'),
    },
    {
      paths: ['image generate-key-pair'],
      summary: 'Make keys to sign images with',
      load: () => import('./commands/image-generate-key-pair.ts'),
    },
    {
      paths: ['image sbom', 'sbom'],
      summary: 'List the packages of an image: a software bill of materials',
      load: () => import('./commands/image-sbom.ts'),
    },
    {
      paths: ['image analyze'],
      summary: 'Show layers, waste and secrets of an image',
      load: () => import('./commands/image-analyze.ts'),
    },
    {
      paths: ['image import', 'import'],
      summary: 'Import the contents from a tarball to create a filesystem image',
      load: () => import('./commands/image-import.ts'),
    },
    {
      paths: ['image pull', 'pull'],
      summary: 'Download an image from a registry',
      common: true,
      load: () => import('./commands/image-pull.ts'),
    },
    {
      paths: ['login'],
      summary: 'Authenticate to a registry',
      common: true,
      load: () => import('./commands/login.ts'),
    },
    {
      paths: ['search'],
      summary: 'Search Docker Hub for images',
      common: true,
      load: () => import('./commands/search.ts'),
    },
    {
      paths: ['logout'],
      summary: 'Log out from a registry',
      common: true,
      load: () => import('./commands/logout.ts'),
    },
    {
      paths: ['image push', 'push'],
      summary: 'Upload an image to a registry',
      common: true,
      load: () => import('./commands/image-push.ts'),
    },
    {
      paths: ['image save', 'save'],
      summary: 'Save one or more images to a tar archive (streamed to STDOUT by default)',
      load: () => import('./commands/image-save.ts'),
    },
    {
      paths: ['image load', 'load'],
      summary: 'Load an image from a tar archive or STDIN',
      load: () => import('./commands/image-load.ts'),
    },
    {
      paths: ['image inspect'],
      summary: 'Display detailed information on one or more images',
      load: () => import('./commands/image-inspect.ts'),
    },
    {
      paths: ['image prune'],
      summary: 'Remove unused images',
      load: () => import('./commands/image-prune.ts'),
    },
    {
      paths: ['system info', 'info'],
      summary: 'Display system-wide information',
      common: true,
      load: () => import('./commands/info.ts'),
    },
    {
      paths: ['builder du', 'buildx du'],
      summary: 'Disk usage',
      load: () => import('./commands/builder-du.ts'),
    },
    {
      paths: ['builder prune', 'buildx prune'],
      summary: 'Remove build cache',
      load: () => import('./commands/builder-prune.ts'),
    },
    {
      paths: ['builds ls', 'builds list'],
      summary: 'List build records',
      load: () => import('./commands/builds-ls.ts'),
    },
    {
      paths: ['builds inspect'],
      summary: 'Show what a build was given and what it made',
      load: () => import('./commands/builds-inspect.ts'),
    },
    {
      paths: ['builds logs'],
      summary: 'Print the log of a build',
      load: () => import('./commands/builds-logs.ts'),
    },
    {
      paths: ['builds timeline'],
      summary: 'Write a page that shows when each step of a build ran',
      load: () => import('./commands/builds-timeline.ts'),
    },
    {
      paths: ['builds open'],
      summary: 'Open the timeline of a build in the browser',
      load: () => import('./commands/builds-open.ts'),
    },
    {
      paths: ['builds export'],
      summary: 'Write the record of a build to a file',
      load: () => import('./commands/builds-export.ts'),
    },
    {
      paths: ['builds import'],
      summary: 'Read the record of a build from a file',
      load: () => import('./commands/builds-import.ts'),
    },
    {
      paths: ['builds rm'],
      summary: 'Remove build records',
      load: () => import('./commands/builds-rm.ts'),
    },
    {
      paths: ['explain'],
      summary: 'Say why the steps of a build ran',
      load: () => import('./commands/explain.ts'),
    },
    {
      paths: ['cache ls', 'cache list'],
      summary: 'List cache mounts',
      load: () => import('./commands/cache-ls.ts'),
    },
    {
      paths: ['cache rm', 'cache remove'],
      summary: 'Remove one or more cache mounts',
      load: () => import('./commands/cache-rm.ts'),
    },
    {
      paths: ['cache prune'],
      summary: 'Remove unused cache mounts',
      load: () => import('./commands/cache-prune.ts'),
    },
    {
      paths: ['cache export'],
      summary: "Write a cache mount's files as a tar archive (streamed to STDOUT by default)",
      load: () => import('./commands/cache-export.ts'),
    },
    {
      paths: ['cache import'],
      summary: 'Make a cache mount from a tar archive or STDIN',
      load: () => import('./commands/cache-import.ts'),
    },
    {
      paths: ['network connect'],
      summary: 'Connect a container to a network',
      load: () => import('./commands/network-connect.ts'),
    },
    {
      paths: ['network create'],
      summary: 'Create a network',
      load: () => import('./commands/network-create.ts'),
    },
    {
      paths: ['network disconnect'],
      summary: 'Disconnect a container from a network',
      load: () => import('./commands/network-disconnect.ts'),
    },
    {
      paths: ['network inspect'],
      summary: 'Display detailed information on one or more networks',
      load: () => import('./commands/network-inspect.ts'),
    },
    {
      paths: ['network ls', 'network list'],
      summary: 'List networks',
      load: () => import('./commands/network-ls.ts'),
    },
    {
      paths: ['network prune'],
      summary: 'Remove all unused networks',
      load: () => import('./commands/network-prune.ts'),
    },
    {
      paths: ['network rm', 'network remove'],
      summary: 'Remove one or more networks',
      load: () => import('./commands/network-rm.ts'),
    },
    {
      paths: ['volume create'],
      summary: 'Create a volume',
      load: () => import('./commands/volume-create.ts'),
    },
    {
      paths: ['volume ls', 'volume list'],
      summary: 'List volumes',
      load: () => import('./commands/volume-ls.ts'),
    },
    {
      paths: ['volume inspect'],
      summary: 'Display detailed information on one or more volumes',
      load: () => import('./commands/volume-inspect.ts'),
    },
    {
      paths: ['volume prune'],
      summary: 'Remove unused local volumes',
      load: () => import('./commands/volume-prune.ts'),
    },
    {
      paths: ['volume rm', 'volume remove'],
      summary: 'Remove one or more volumes',
      load: () => import('./commands/volume-rm.ts'),
    },
    {
      paths: ['system prune'],
      summary: 'Remove unused data',
      load: () => import('./commands/system-prune.ts'),
    },
    {
      paths: ['system df'],
      summary: 'Show disk usage',
      load: () => import('./commands/system-df.ts'),
    },
    {
      paths: ['manifest create'],
      summary: 'Create a manifest list of images of the store',
      load: () => import('./commands/manifest-create.ts'),
    },
    {
      paths: ['manifest annotate'],
      summary: 'Change what a manifest list says of an image',
      load: () => import('./commands/manifest-annotate.ts'),
    },
    {
      paths: ['manifest inspect'],
      summary: 'Display an image manifest, or manifest list',
      load: () => import('./commands/manifest-inspect.ts'),
    },
    {
      paths: ['manifest push'],
      summary: 'Push a manifest list to a repository',
      load: () => import('./commands/manifest-push.ts'),
    },
    {
      paths: ['manifest rm'],
      summary: 'Remove one or more manifest lists',
      load: () => import('./commands/manifest-rm.ts'),
    },
    {
      paths: ['events', 'system events'],
      summary: 'Show what happens in the store as it happens',
      load: () => import('./commands/events.ts'),
    },
    {
      paths: ['system check'],
      summary: 'Check the store and repair it',
      load: () => import('./commands/system-check.ts'),
    },
    {
      paths: ['inspect'],
      summary: 'Return low-level information on Cairn objects',
      load: () => import('./commands/inspect.ts'),
    },
    {
      paths: ['image tag', 'tag'],
      summary: 'Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE',
      load: () => import('./commands/image-tag.ts'),
    },
    {
      paths: ['image rm', 'image remove', 'rmi'],
      summary: 'Remove one or more images',
      load: () => import('./commands/image-rm.ts'),
    },
    {
      paths: ['completion'],
      summary: 'Generate the autocompletion script for the specified shell',
      load: () => import('./commands/completion.ts'),
    },
    { paths: ['help'], summary: 'Help about any command', hidden: true, load: () => import('./commands/help.ts') },
  ],
}
