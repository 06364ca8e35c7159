import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

const backend = process.env.CITYPULSE_URL ?? 'http://127.0.0.1:8000';

export default defineConfig({
  base: '/',
  plugins: [react()],
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    // The map engines are large by nature; a warning about it would hide real ones.
    chunkSizeWarningLimit: 1200,
    rollupOptions: {
      output: {
        // The engines change far less often than our code: in files of their own,
        // a browser keeps them over an upgrade of CityPulse.
        manualChunks(id: string) {
          if (id.includes('maplibre-gl')) return 'maplibre';
          if (/node_modules\/(@deck\.gl|@luma\.gl|@math\.gl|@probe\.gl|@loaders\.gl)/.test(id)) return 'deck';
          if (/node_modules\/(react|react-dom|scheduler|zustand)\//.test(id)) return 'react';
          return undefined;
        },
      },
    },
  },
  server: {
    proxy: {
      '/api': backend,
      '/ws': { target: backend, ws: true },
    },
  },
  test: {
    // A DOM costs a second per file: only the tests that need one ask for it.
    environment: 'node',
    include: ['src/**/*.test.{ts,tsx}'],
    restoreMocks: true,
  },
});
