"""What guides a picture: prompts, ControlNets, reference images and source images."""
