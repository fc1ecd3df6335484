"""Git hosts with pull requests: GitHub, GitLab, and Gitea or Forgejo, behind one small interface."""
