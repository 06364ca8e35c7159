import '@fontsource-variable/inter';
import './theme/global.css';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './App';
import { showThemeAtOnce } from './theme/use-theme';

const root = document.getElementById('root');
if (!root) throw new Error('index.html has no #root');
showThemeAtOnce();
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
