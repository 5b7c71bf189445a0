import type { CommandTable } from './command.ts'

/** Every command: nothing here is loaded until the one command asked for is. */
export const table: CommandTable = {
  groups: {
    image: { summary: 'Manage images' },
    builder: { summary: 'Manage builds' },
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
      paths: ['version'],
      summary: 'Show the Cairn version information',
      common: true,
      load: () => import('./commands/version.ts'),
    },
    {
      paths: ['completion'],
      summary: 'Generate the autocompletion script for the specified shell',
      load: () => import('./commands/completion.ts'),
    },
    { paths: ['help'], summary: 'Help about any command', hidden: true, load: () => import('./commands/help.ts') },
  ],
}
